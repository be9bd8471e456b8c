"""The study of several samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experiments import samples
from experiments.text import RESULTS


def test_samples_are_shifted_and_types_are_missing() -> None:
    cells, of = samples.simulated(everywhere=True)
    assert cells.n_obs == 900
    assert set(of) == {0, 1, 2}
    profiles = np.stack([np.asarray(cells.X[of == sample].mean(0)).ravel() for sample in range(3)])
    ratio = np.log((profiles[0] + 0.1) / (profiles[1] + 0.1))
    assert np.std(ratio) > 0.2, "a third of the genes are higher or lower"
    fewer, of = samples.simulated(everywhere=False)
    assert fewer.n_obs == 483
    types = fewer.obs["cell_type"].astype(str).to_numpy()
    assert set(of[types == "type1"]) == {0}
    assert set(of[types == "type2"]) == {1, 2}


def test_the_page_is_that_of_the_committed_rows(tmp_path: Path) -> None:
    (tmp_path / "samples.csv").write_text((RESULTS / "samples.csv").read_text())
    samples.make(tmp_path, tmp_path)
    assert (tmp_path / "samples.md").read_text() == (RESULTS / "samples.md").read_text()


def test_the_correction_mixes_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("harmonypy")
    monkeypatch.setattr(samples, "SEEDS", 1)
    (row,) = samples.measure("900 simulated, 5 types, genes shifted by sample").to_dict("records")
    assert row["ari_batch"] > row["ari"] + 0.2
    assert row["ilisi_batch"] > row["ilisi"] + 0.5
