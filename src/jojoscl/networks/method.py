"""What all methods that train a network share: from cells to a result, alone in the process."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import lightning as L
import numpy as np
from anndata import AnnData

from jojoscl.cells.expression import Expression
from jojoscl.cells.preprocess import Preprocess
from jojoscl.core.interface import MethodSettings, Result, check_n_clusters, estimated
from jojoscl.core.method import JojoSCL
from jojoscl.networks.callbacks import History
from jojoscl.networks.datamodule import CellDataModule
from jojoscl.networks.fit import fit, isolated
from jojoscl.networks.module import SeededModule
from jojoscl.networks.settings import Oracle, Run
from jojoscl.utils.errors import UserError
from jojoscl.utils.progress import Stopwatch


@dataclass
class Training:
    """One call of a method: what it is given, and the stages that were trained so far."""

    x: Expression
    n_clusters: int
    seed: int
    run: Run
    watch: Stopwatch
    oracle: Oracle | None = None
    stages: list[History] = field(default_factory=list)

    def epochs(self, of_method: int) -> int:
        """Return how many epochs a stage has: as many as the run says, or else the method."""
        return self.run.trainer.max_epochs or of_method

    def fit(
        self,
        module: SeededModule,
        data: CellDataModule,
        epochs: int,
        callbacks: Sequence[L.Callback] = (),
        *,
        stage: str = "last",
        seconds: str = "train",
    ) -> None:
        """Train a stage; `stage` names its checkpoint, `seconds` its time."""
        about = {"max_epochs": self.epochs(epochs), "first_epoch": len(self.rows)}
        self.stages.append(fit(module, data, self.run, stage=stage, callbacks=callbacks, **about))
        self.watch.lap(seconds)

    @property
    def rows(self) -> list[dict[str, float]]:
        """Return the losses of all epochs so far."""
        return [row for history in self.stages for row in history.rows]

    def result(
        self, labels: np.ndarray, embedding: np.ndarray, info: Mapping[str, object], **more: Any
    ) -> Result:
        """Return labels (n,), the embedding (n, d), the history and `more` as a result.

        "earlier" are the seconds of training in calls that were interrupted, which this one
        continued.
        """
        self.watch.lap("assign")
        if earlier := sum(history.earlier for history in self.stages):
            self.watch.seconds["earlier"] = earlier
        return Result(labels, embedding, self.watch.seconds, info, self.rows, **more)


class NetworkMethod(MethodSettings):
    """A method that trains: a subclass makes the network and says how in :meth:`train`."""

    name: str
    preprocess: Preprocess
    takes_run: ClassVar[bool] = True
    estimates_k: ClassVar[bool] = False  # if the number of clusters is not given

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
        run, watch = run or Run(), Stopwatch()
        if oracle and not self.takes_oracle:
            raise UserError(f"{self.name} keeps the last epoch: leave out the oracle.")
        with isolated(run.trainer.threads):
            watch.lap("other")
            estimates = n_clusters is None and self.estimates_k
            k = 0 if estimates else check_n_clusters(n_clusters, cells.n_obs)
            x = self.preprocess(cells)
            watch.lap("preprocess")
            if estimates:
                k = JojoSCL().n_clusters_of(cells, seed=seed)
                watch.lap("estimate")
            result = self.train(Training(x, k, seed, run, watch, oracle))
        watch.lap("other")
        return replace(result, info={**result.info, **estimated(n_clusters, k)})

    @abstractmethod
    def train(self, job: Training) -> Result:
        """Train on the cells of `job` and cluster them."""
