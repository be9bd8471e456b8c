"""The paper's method and the released code's settings."""

from __future__ import annotations

from anndata import AnnData

from jojoscl.networks.paper.method import PaperJojoSCL, ReleasedJojoSCL
from jojoscl.networks.settings import Run, TrainerSettings

QUICK = Run(trainer=TrainerSettings(max_epochs=2, accelerator="cpu", progress_bar=False))


def test_the_released_settings_are_the_papers_but_for_what_is_named() -> None:
    paper, released = PaperJojoSCL(), ReleasedJojoSCL()
    assert (paper.sure, released.sure) == ("two_view", "released")
    assert (paper.lambda_, released.lambda_) == (10.0, 1.0)
    assert (paper.lr, released.lr) == (0.01, 0.2)
    assert paper.encoder_dims == released.encoder_dims == [512, 256, 128]


def test_epochs_are_the_methods_or_the_runs(cells: AnnData) -> None:
    method = PaperJojoSCL(encoder_dims=[16, 8], instance_dims=[8], cluster_dims=[8], epochs=3)
    one = method.fit_predict(cells, 3, run=QUICK)
    assert one.info["epochs"] == len(one.history) == 2
    other = method.fit_predict(
        cells, 3, run=Run(trainer=TrainerSettings(accelerator="cpu", progress_bar=False))
    )
    assert other.info["epochs"] == len(other.history) == 3
    assert one.embedding.shape == (120, 8)
    assert one.obsm["map"].shape == (120, 8)


def test_only_the_oracle_chooses_an_epoch(cells: AnnData) -> None:
    method = PaperJojoSCL(encoder_dims=[16, 8], instance_dims=[8], cluster_dims=[8])
    scores = iter([0.9, 0.1])
    result = method.fit_predict(cells, 3, run=QUICK, oracle=lambda labels: next(scores))
    assert result.info["selected_epoch"] == 0
    assert result.last_labels is not None
    assert method.fit_predict(cells, 3, run=QUICK).last_labels is None
