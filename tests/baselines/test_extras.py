"""Methods of other packages, where these are installed."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from jojoscl.baselines.extras import PhenoGraph, ScVI
from jojoscl.cells.preprocess import Preprocess
from jojoscl.datasets.simulate import simulate
from jojoscl.utils import errors
from jojoscl.utils.errors import UserError
from tests.small import blobs


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(errors, "find_spec", lambda name: None)
    for method, package in ((PhenoGraph(), "phenograph"), (ScVI(), "scvi")):
        with pytest.raises(UserError, match=f"needs {package}: pip install 'jojoscl.rivals.'"):
            method.fit_predict(simulate(60, 50, 3), 3)


def test_phenograph_finds_blobs_and_more_at_a_higher_resolution():
    pytest.importorskip("phenograph")
    cluster_at = PhenoGraph(n_neighbors=10).communities(blobs(), seed=0)
    assert adjusted_rand_score(np.repeat(np.arange(5), 30), cluster_at(0.3)) == 1
    assert len(np.unique(cluster_at(3.0))) > 5


def test_scvi_learns_as_many_dimensions_as_asked_for(cells):
    pytest.importorskip("scvi")
    method = ScVI(preprocess=Preprocess(hvg_flavor="seurat"), epochs=2, n_latent=4, match_k=True)
    assert method.fit_predict(cells, 3).embedding.shape == (120, 4)
