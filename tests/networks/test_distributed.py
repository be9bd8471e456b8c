"""Several processes: the losses and gradients of one, each with its own views; resumable."""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from jojoscl.cells.checks import without_labels
from jojoscl.datasets.simulate import simulate
from jojoscl.networks.callbacks import ShrinkageRecord
from jojoscl.networks.contrastive_sc import ContrastiveSC, ContrastiveSCModule
from jojoscl.networks.datamodule import Batches, CellDataModule
from jojoscl.networks.distributed import launch
from jojoscl.networks.fit import fit
from jojoscl.networks.module import gather, rank_and_world
from jojoscl.networks.paper import PaperJojoSCL, PaperModule, ReleasedJojoSCL
from jojoscl.networks.scdeepcluster import ScDeepCluster
from jojoscl.networks.settings import Run, TrainerSettings
from jojoscl.runner.config import Resolved, compose
from jojoscl.runner.run import run
from jojoscl.utils.errors import UserError

N_CELLS, N_GENES, K = 12, 10, 3
PAPER: dict[str, Any] = {"encoder_dims": [8, 6], "instance_dims": [6], "cluster_dims": [6]}
SIZE = {"n_genes": N_GENES, "n_clusters": K, "seed": 0}


def settings(n: int) -> TrainerSettings:
    return TrainerSettings(accelerator="cpu", progress_bar=False, devices=n, checkpoint_seconds=0)


# ---- one step of two processes is one step of one ------------------------------------------------


class FixedViews(nn.Module):
    """A training step whose n-th view of a cell is the cell times n."""

    def __init__(self, module: Any, x: Tensor) -> None:
        super().__init__()
        self.module = module.double().eval()  # BatchNorm by running statistics: the same in both
        self.losses: dict[str, Tensor] = {}
        self.n_views = 0
        module.view = self.view
        module.record = lambda **losses: self.losses.update(losses)
        if isinstance(module, PaperModule):
            module.labels.copy_(torch.arange(len(x)) % K)
            module.centroids.normal_()

    def view(self, x: Tensor) -> Tensor:
        self.n_views += 1
        return x * self.n_views

    def forward(self, batch: tuple[Tensor, ...]) -> Tensor:
        return self.module.training_step(batch, 0)


def one_step(kind: str) -> dict[str, Tensor]:
    """Losses and gradients of a step on this process's share of the cells."""
    torch.manual_seed(0)
    x = torch.randn(N_CELLS, N_GENES, dtype=torch.float64)
    preset, _, sure = kind.partition("-")
    if preset == "contrastive_sc":
        settings = ContrastiveSC(encoder_dims=[8, 6], mask_rate=0.0)
        module: Any = ContrastiveSCModule(settings, n_genes=N_GENES, seed=0)
        module.generator = None
    else:
        method = PaperJojoSCL if preset == "paper" else ReleasedJojoSCL
        module = PaperModule(method(sure=sure, **PAPER), n_cells=N_CELLS, **SIZE, max_epochs=1)
        for parameter in module.key.parameters():
            parameter.data.add_(0.1 * torch.randn_like(parameter))
    step: Any = FixedViews(module, x)
    if dist.is_initialized():
        step = DistributedDataParallel(step)
    index = torch.randperm(N_CELLS)[:10]
    rank, world = rank_and_world()
    step((x[index].chunk(world)[rank], index.chunk(world)[rank])).backward()
    found = {name: p.grad for name, p in module.named_parameters() if p.requires_grad}
    losses = (step.module if dist.is_initialized() else step).losses
    return found | losses


def steps_of_rank(module: L.LightningModule, kinds: list[str], folder: Path) -> None:
    dist.init_process_group("gloo", rank=int(os.environ["LOCAL_RANK"]), world_size=2)
    rows = gather(torch.arange(4.0).view(2, 2) + 10 * dist.get_rank())
    assert rows.tolist() == [[0, 1], [2, 3], [10, 11], [12, 13]]
    torch.save({kind: one_step(kind) for kind in kinds}, folder / f"{dist.get_rank()}.pt")


def test_losses_and_gradients_of_two_processes_are_those_of_one(tmp_path):
    kinds = ["paper-two_view", "paper-centroid", "released-released", "contrastive_sc"]
    launch(steps_of_rank, 2, L.LightningModule(), kinds, tmp_path)
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt")
        for kind in kinds:
            expected = one_step(kind)
            assert found[kind].keys() == expected.keys()
            assert expected["loss"] != 0
            for name, value in expected.items():
                torch.testing.assert_close(found[kind][name], value, rtol=1e-9, atol=1e-12)


def test_batches_are_shared_without_overlap(monkeypatch):
    whole = list(Batches(37, 16, seed=3))
    shares = []
    for rank in range(2):
        name = "jojoscl.networks.datamodule.rank_and_world"
        monkeypatch.setattr(name, lambda rank=rank: (rank, 2))
        shares.append(list(Batches(37, 16, seed=3)))
        assert len(Batches(35, 16, seed=3)) == 2, "a last batch of three is too small for two"
    assert [len(batch) for batch in shares[0]] == [8, 8, 2]
    for batch, first, second in zip(whole, *shares, strict=True):
        assert torch.cat([first, second]).equal(batch[: 2 * len(first)])


# ---- whole trainings -----------------------------------------------------------------------------


class Views(L.Callback):
    """Keeps each process's masks, and its weights at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_epoch_end(self, trainer: L.Trainer, module: Any) -> None:
        view, weights = module.view(torch.ones(4, 50)), dict(module.named_parameters())
        kept = {"view": view, "labels": module.labels, "weights": weights}
        torch.save(kept, self.folder / f"{trainer.global_rank}.pt")


class Killed(L.Callback):
    """Ends all processes as epoch 2 begins."""

    def on_train_epoch_start(self, trainer: L.Trainer, module: Any) -> None:
        if trainer.current_epoch == 2:
            raise RuntimeError("killed")


def trained(folder: Path | None, *callbacks: L.Callback, n_devices: int = 2) -> dict[str, Any]:
    """What four epochs of the paper's preset on 75 cells leave."""
    x = np.random.default_rng(0).standard_normal((75, N_GENES), dtype=np.float32)
    module = PaperModule(PaperJojoSCL(**PAPER), n_cells=len(x), **SIZE, max_epochs=4)
    data, record = CellDataModule(x, batch_size=16), ShrinkageRecord()
    run = Run(folder, trainer=settings(n_devices))
    history = fit(module, data, run, max_epochs=4, callbacks=(record, *callbacks))
    return {"losses": history.rows, "record": record.rows, "h": data.embed(module)["h"].tolist()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """What an unbroken training of two processes leaves, and the folder of its views."""
    folder = tmp_path_factory.mktemp("whole")
    return trained(None, Views(folder)), folder


def test_processes_draw_their_own_masks_and_end_with_one_network(whole):
    found, folder = whole
    assert [row["epoch"] for row in found["losses"]] == [0, 1, 2, 3]
    assert np.isfinite([list(row.values()) for row in found["losses"]]).all()
    last = [row for row in found["record"] if row["epoch"] == 3]
    n_cells = sum(row["value"] for row in last if row["quantity"] == "n")
    assert n_cells == 74, "those of both processes; the last batch of 11 has shares of 5"
    first, second = (torch.load(folder / f"{rank}.pt") for rank in range(2))
    assert not torch.equal(first["view"] > 0.5, second["view"] > 0.5)
    assert torch.equal(first["labels"], second["labels"])
    for name, value in first["weights"].items():
        torch.testing.assert_close(value, second["weights"][name], msg=name)


def test_interrupted_processes_go_on_and_end_as_unbroken_ones(whole, tmp_path):
    with pytest.raises(Exception, match="killed"):
        trained(tmp_path, Killed())
    assert (tmp_path / "last.ckpt").exists()
    assert trained(tmp_path) == whole[0]
    assert whole[0]["h"] != trained(None, n_devices=1)["h"]


def test_a_run_is_written_once_and_logged(tmp_path):
    tiny = ("data=simulated", "data.n_cells=60", "data.n_genes=50", "data.n_types=3", "pictures=false",
            "method=jojoscl_paper", "method.encoder_dims=[8,4]", "trainer.max_epochs=2",
            "trainer=ddp", "trainer.accelerator=cpu")  # fmt: skip
    metrics = run(Resolved.of(compose([*tiny, "selection=oracle"])), tmp_path / "run")
    assert metrics["selected_epoch"] in (0, 1)
    assert (tmp_path / "run" / "csv" / "metrics.csv").read_text().count("\n") == 3
    record = (tmp_path / "run" / "shrinkage.csv").read_text()
    assert record.startswith("epoch,quantity,cluster,other,value\n0,cosine_gap,")
    alone = compose([*tiny, "selection=oracle", "trainer.devices=1"])
    assert metrics["config_hash"] != Resolved.of(alone).config_hash


@pytest.mark.slow
def test_the_command_trains_on_two_processes(command, tmp_path):
    words = "method=jojoscl_paper trainer=ddp trainer.accelerator=cpu trainer.max_epochs=2"
    done = command(*words.split(), "data=simulated", "pictures=false")
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr.lower()
    assert done.stdout.count("ARI") == 1


# ---- what is refused -----------------------------------------------------------------------------


def test_what_several_devices_cannot_do_is_refused(in_process):
    cells = without_labels(simulate(n_cells=60, n_genes=50, n_types=3, seed=1))
    run = Run(trainer=settings(4))
    with pytest.raises(UserError, match="trains on one device"):
        ScDeepCluster().fit_predict(cells, 3, run=run)
    done = in_process("-m", "trainer=ddp", "seed=0,1", "data=simulated")
    assert done.code == 2
    assert "A sweep trains on one device: leave out -m" in done.err


def wrong(module: L.LightningModule, sentence: str) -> None:
    raise UserError(sentence)


def test_an_error_of_a_process_is_one_sentence():
    with pytest.raises(UserError, match=r"^No space left\.$"):
        launch(wrong, 2, L.LightningModule(), "No space left.")


def waits(module: L.LightningModule, folder: Path) -> None:
    (folder / f"{os.environ['LOCAL_RANK']}.pid").write_text(str(os.getpid()))
    time.sleep(60)


def launches(folder: Path) -> None:
    launch(waits, 2, L.LightningModule(), folder)


def alive(pid: int) -> bool:
    """Whether it runs: a process that has ended and nobody has asked for is a zombie."""
    path = Path(f"/proc/{pid}/stat")
    return path.exists() and path.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_processes_end_with_the_one_that_started_them(tmp_path):
    parent = multiprocessing.get_context("spawn").Process(target=launches, args=(tmp_path,))
    parent.start()
    until(lambda: len([path for path in tmp_path.glob("*.pid") if path.read_text()]) == 2)
    parent.kill()
    pids = [int(path.read_text()) for path in tmp_path.glob("*.pid")]
    until(lambda: not any(map(alive, pids)))
    assert len(pids) == 2
    assert not any(map(alive, pids))


def until(condition: Callable[[], bool], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)
