"""The values themselves decide their kind: counts, logarithms of any base, or a question."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData

import jojoscl
from jojoscl.cells.checks import as_cells
from jojoscl.core.metrics import scores
from jojoscl.utils.errors import UserError
from tests.small import assert_refused


def counts(seed: int = 0) -> tuple[sp.csr_matrix, np.ndarray]:
    """Counts of 300 cells of 4 types, with depths as far apart as in droplets, and the types."""
    rng = np.random.default_rng(seed)
    profiles = np.exp(rng.normal(0, 1.2, (4, 400)) * (rng.random((4, 400)) < 0.3))
    types = rng.integers(0, 4, 300)
    depth = rng.lognormal(np.log(600), 1, 300)
    x = rng.poisson(profiles[types] / profiles.sum(1)[types, None] * depth[:, None])
    return sp.csr_matrix(x, dtype=np.float32), types


COUNTS, TYPES = counts()
DEPTHS = np.repeat(np.asarray(COUNTS.sum(1)).ravel(), np.diff(COUNTS.indptr))
RNG = np.random.default_rng(1)


def with_data(values: np.ndarray) -> sp.csr_matrix:
    return sp.csr_matrix((values, COUNTS.indices, COUNTS.indptr), shape=COUNTS.shape)


def logged(target: float = 1e4, base: float = np.e) -> sp.csr_matrix:
    return with_data(np.log1p(COUNTS.data / DEPTHS * target) / np.log(base))


AMBIENT = with_data(np.minimum(COUNTS.data, 14) * RNG.uniform(0.85, 0.99, COUNTS.nnz))
LOGS = {
    "scanpy": logged(),
    "million": logged(1e6),
    "median": logged(float(np.median(DEPTHS))),
    "two decimals": with_data(np.round(logged().data, 2)),
}


def test_natural_logarithms_of_equal_sums_are_recognised(subtests):
    for name in LOGS:
        with subtests.test(name=name):
            cells = as_cells(AnnData(LOGS[name]))
            assert cells.uns["kind"] == "log1p"
            assert cells.uns["kind_decided_by"] == "equal sums of cells (log1p undone)"
            np.testing.assert_allclose(cells.X.toarray(), LOGS[name].toarray(), rtol=1e-6)


def test_counts_may_be_whole_up_to_rounding():
    assert as_cells(AnnData(with_data(COUNTS.data + 9e-4))).uns["kind"] == "counts"
    assert as_cells(AnnData(with_data(np.expm1(np.log1p(COUNTS.data))))).uns["kind"] == "counts"
    with pytest.raises(UserError, match="beyond doubt"):  # shares are near 0, and are no zeros
        as_cells(AnnData(with_data(COUNTS.data / DEPTHS.max() / 50)))


def test_whole_logarithms_are_no_counts():
    rng = np.random.default_rng(0)
    deep = rng.poisson(rng.lognormal(2, 1, 300), (200, 300))
    for x in (
        np.round(np.log1p(deep)),
        np.round(np.log1p(deep / deep.sum(1, keepdims=True) * 1e4)),
    ):
        with pytest.raises(UserError, match=r"vary less than counts do.*give kind='counts'"):
            as_cells(AnnData(sp.csr_matrix(x, dtype=np.float32)))
    for counts_ in (deep, COUNTS, rng.poisson(3.0, (200, 300)), rng.binomial(20, 0.5, (50, 10))):
        assert as_cells(AnnData(sp.csr_matrix(counts_, dtype=np.float32))).uns["kind"] == "counts"
    assert as_cells(AnnData(sp.csr_matrix(x, dtype=np.float32)), kind="counts").n_obs == 200


DOUBTS = {
    "corrected for ambient RNA": AMBIENT,
    "corrected in places": with_data(
        COUNTS.data - 0.3 * RNG.random(COUNTS.nnz) * (RNG.random(COUNTS.nnz) < 0.5)
    ),
    "base 2": logged(1e6, 2),
    "base 10": logged(1e4, 10),
    "some genes": logged()[:, :100][np.diff(logged()[:, :100].indptr) > 0],
    "scaled": with_data(COUNTS.data * 0.9),
    "scaled by cell": with_data(COUNTS.data / DEPTHS * 2),
    "normalised, no logarithm": with_data(COUNTS.data / DEPTHS),
    "roots": with_data(np.sqrt(COUNTS.data)),
}


def test_a_doubt_is_asked_about_and_uns_does_not_answer():
    words = r"by kind='log1p' or kind='rpkm' \(which is right"
    said: list[dict[str, Any]] = [{"log1p": {}}, {"kind": "log1p"}]
    said.append({"kind": "log1p", "log1p": {"base": None}})
    cases = [(name, {}) for name in DOUBTS] + [("base 2", uns) for uns in said]
    assert_refused(
        lambda given: as_cells(AnnData(DOUBTS[given[0]], uns=given[1])),
        *[(given, words) for given in cases],
    )


def test_no_word_of_the_user_in_uns_decides():
    for kind in ("log1p", "rpkm", "counts"):
        assert as_cells(AnnData(COUNTS, uns={"kind": kind, "log1p": {}})).uns["kind"] == "counts"
        assert as_cells(AnnData(logged(), uns={"kind": kind})).uns["kind"] == "log1p"


def test_a_word_of_ours_that_the_values_contradict_decides_nothing():
    rpkm = as_cells(AnnData(with_data(DEPTHS * 1.5)), kind="rpkm")
    assert as_cells(rpkm).uns["kind"] == "rpkm"
    rpkm.X = AMBIENT
    with pytest.raises(UserError, match="beyond doubt"):
        as_cells(rpkm)
    rpkm.X = COUNTS
    assert as_cells(rpkm).uns["kind"] == "counts"


def test_no_logarithm_is_as_large_as_a_count():
    with pytest.raises(
        UserError, match=r"no logarithms, as the largest is 1200: give kind='counts'"
    ):
        as_cells(AnnData(with_data(np.full(COUNTS.nnz, 1200.0))), kind="log1p")


def test_corrected_counts_cluster_as_counts_where_the_user_says_so():
    with pytest.raises(UserError, match="kind"):
        jojoscl.cluster(AnnData(AMBIENT), 4)
    ari = []
    for x, kind in ((COUNTS, "auto"), (AMBIENT, "rpkm")):
        adata = AnnData(x)
        jojoscl.cluster(adata, 4, kind=kind)
        ari.append(scores(TYPES, adata.obs["jojoscl"].cat.codes.to_numpy())["ari"])
        found = [adata.uns["jojoscl"][name] for name in ("kind", "kind_decided_by")]
        assert tuple(found) == (
            ("counts", "whole numbers") if kind == "auto" else ("rpkm", "setting")
        )
    assert min(ari) > 0.95
