"""What all methods that train a network share: from cells to a result, alone in the process."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

from anndata import AnnData

from jojoscl.cells.expression import Expression
from jojoscl.cells.preprocess import Preprocess
from jojoscl.core.interface import MethodSettings, Result, check_n_clusters, estimated, timed
from jojoscl.core.method import JojoSCL
from jojoscl.networks.callbacks import History
from jojoscl.networks.fit import isolated
from jojoscl.networks.settings import Oracle, Run
from jojoscl.utils.errors import UserError
from jojoscl.utils.progress import Stopwatch


@dataclass
class Training:
    """What a method trains on and how, the epochs that were trained so far, and the clock."""

    x: Expression
    n_clusters: int
    seed: int
    run: Run
    oracle: Oracle | None
    history: History
    watch: Stopwatch


class NetworkMethod(MethodSettings):
    """A method that trains: a subclass makes the network and says how in :meth:`train`."""

    name: str
    preprocess: Preprocess
    takes_run: ClassVar[bool] = True
    estimates_k: ClassVar[bool] = False  # if the number of clusters is not given

    @timed
    def fit_predict(
        self,
        cells: AnnData,
        n_clusters: int | None,
        *,
        seed: int = 0,
        run: Run | None = None,
        oracle: Oracle | None = None,
    ) -> Result:
        """Cluster cells (see :class:`~jojoscl.core.interface.Method`).

        Parameters
        ----------
        cells
            Cells without labels.
        n_clusters
            How many clusters to make.
        seed
            Of the weights, the batches, the views and K-means.
        run
            How to train, and where the run keeps its files.
        oracle
            Chooses the epoch by the true labels, for ``selection=oracle`` alone.
        """
        run = run or Run()
        if oracle and not self.takes_oracle:
            raise UserError(f"{self.name} keeps the last epoch: leave out the oracle.")
        with isolated(run.trainer.threads):
            watch, history = Stopwatch(), History(run)
            estimates = n_clusters is None and self.estimates_k
            k = 0 if estimates else check_n_clusters(n_clusters, cells.n_obs)
            x = self.preprocess(cells)
            watch.lap("preprocess")
            if estimates:
                k = JojoSCL().n_clusters_of(cells, seed=seed)
                watch.lap("estimate")
            result = self.train(Training(x, k, seed, run, oracle, history, watch))
            watch.lap("assign")
        if history.earlier:  # training in calls that were cut off and that this one continued
            watch.seconds["earlier"] = history.earlier
        info = {**result.info, **estimated(n_clusters, k)}
        return replace(result, seconds=watch.seconds, info=info, history=history.rows)

    @abstractmethod
    def train(self, job: Training) -> Result:
        """Train on the cells of `job`, and return their clusters, and what to note of them."""
