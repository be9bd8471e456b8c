"""Which genes are kept: their moments over bands of cells, and the rules that choose by them."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from jojoscl.utils.errors import UserError


def mean_variance(bands: Iterable[sp.csr_matrix]) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance (g,), with n - 1, of each gene over cells that come in bands.

    Sums go cell by cell: the bits do not depend on the bands.
    """
    # A float32 value is squared in float32 and then added in float64. A square in float64 would
    # move an sd by 1e-7, which changes the labels of a network: the committed results would not
    # repeat.
    n, total, square = 0, np.zeros(0), np.zeros(0)
    for band in bands:
        if n == 0:
            total, square = np.zeros((2, band.shape[1]))
        n += band.shape[0]
        np.add.at(total, band.indices, band.data.astype(np.float64, copy=False))
        np.add.at(square, band.indices, (band.data * band.data).astype(np.float64, copy=False))
    mean = total / n
    return mean, np.maximum(square / n - mean**2, 0) * (n / (n - 1))


def seurat_genes(mean: np.ndarray, variance: np.ndarray, n_top_genes: int) -> np.ndarray:
    """Return the genes of scanpy's flavor ``seurat`` (Satija et al., Nat Biotechnol 2015).

    From mean and variance (n_genes,) of normalised values, which scanpy itself takes only from a
    whole matrix: the largest log dispersions, standardised within 20 bins of the log mean, and
    those that tie with the last.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        dispersion = np.log(np.where(variance > 0, variance / mean, np.nan))
    of_bin = pd.Series(dispersion).groupby(pd.cut(np.log1p(mean), 20), observed=True)
    centre, spread = of_bin.transform("mean"), of_bin.transform("std")
    alone = spread.isna()  # in its bin: the dispersion itself is the spread, and 0 the centre
    score = ((dispersion - centre.mask(alone, 0)) / spread.mask(alone, centre)).to_numpy()
    known = np.sort(score[~np.isnan(score)])
    return np.flatnonzero(score >= known[-min(n_top_genes, len(known))])


def robust_v3_genes(
    bands: Callable[[], Iterable[sp.csr_matrix]],
    shape: tuple[int, int],
    n_top_genes: int,
    samples: np.ndarray | None = None,
) -> np.ndarray:
    """Return the genes whose variance is largest compared with genes of the same mean.

    In the manner of scanpy's flavor ``seurat_v3`` (Stuart et al., Cell 2019), though the genes are
    others: counts are divided by the standard deviation that the trend of the variances over the
    means gives, clipped at sqrt(n_cells), and ranked by their variance. The trend is one of medians
    and not a loess, which fails on sparse genes; it lies too low for the genes with the largest
    means (about .2 in log10 of the variance), which are therefore favored.

    Parameters
    ----------
    bands
        Gives all counts, in bands of cells, each time it is called.
    shape
        How many cells and genes there are.
    samples
        Number (n_cells,) of each cell's sample: genes are ranked within each, and the best medians
        count, as with scanpy's `batch_key`. So a gene that varies only between samples does not
        count.
    """
    if samples is None:
        order = np.argsort(-robust_v3_scores(bands, *shape), kind="stable")
    else:
        from scipy.stats import rankdata  # slow to import: not before it is needed

        of_each = (samples == sample for sample in np.unique(samples))
        scores = [
            robust_v3_scores(partial(_some_rows, bands, inside), int(inside.sum()), shape[1])
            for inside in of_each
        ]
        order = np.argsort(np.median(rankdata(-np.array(scores), axis=1), axis=0), kind="stable")
    return np.sort(order[:n_top_genes])


def _some_rows(
    bands: Callable[[], Iterable[sp.csr_matrix]], inside: np.ndarray
) -> Iterator[sp.csr_matrix]:
    start = 0
    for band in bands():
        yield band[np.flatnonzero(inside[start : start + band.shape[0]])]
        start += band.shape[0]


def robust_v3_scores(
    bands: Callable[[], Iterable[sp.csr_matrix]], n: int, n_genes: int
) -> np.ndarray:
    """Return the variance (n_genes,) of n cells' counts over what the mean lets one expect."""
    mean, variance = mean_variance(band.astype(np.float64) for band in bands())
    varies = variance > 0
    sd = np.ones(n_genes)
    sd[varies] = 10 ** (median_trend(np.log10(mean[varies]), np.log10(variance[varies])) / 2)
    limit, sums = mean + sd * n**0.5, np.zeros((2, n_genes))
    for band in bands():
        x = np.minimum(band.data, limit[band.indices])
        for power, total in enumerate(sums, start=1):
            np.add.at(total, band.indices, x**power)
    return np.where(varies, (sums[1] - 2 * mean * sums[0] + n * mean**2) / ((n - 1) * sd**2), 0)


def median_trend(
    x: np.ndarray, y: np.ndarray, *, n_knots: int = 60, width: float = 0.3, fewest: int = 20
) -> np.ndarray:
    """Return a smooth trend of y over x, both (n,), at each x: medians within `width` of knots.

    Knots are quantiles of x; a median is of at least 2 x `fewest` values, if there are as many.
    """
    order, knots = np.argsort(x, kind="stable"), np.quantile(x, np.linspace(0, 1, n_knots))
    x_sorted, y_sorted = x[order], y[order]
    low = np.minimum(np.searchsorted(x_sorted, knots - width), len(x) - fewest).clip(min=0)
    high = np.maximum(np.searchsorted(x_sorted, knots + width), low + fewest)
    medians = np.array([np.median(y_sorted[a:b]) for a, b in zip(low, high, strict=True)])
    weights = np.exp(-0.5 * ((knots[:, None] - knots) / (width / 2)) ** 2)
    return np.interp(x, knots, weights @ medians / weights.sum(1))


def seurat_v3_genes(x: sp.csr_matrix, n_top_genes: int) -> np.ndarray:
    """Return the genes that scanpy's flavor ``seurat_v3`` chooses from counts x (n, g).

    If rare genes stop its loess, those in fewer than 3 cells are left out, as in Seurat's
    tutorials.
    """
    import scanpy as sc  # slow to import: not before it is needed
    from sklearn.utils.sparsefuncs import mean_variance_axis

    if (mean_variance_axis(x, axis=0)[1] > 0).sum() < 4:  # its regression would crash
        raise UserError("hvg_flavor=seurat_v3 fails on fewer than 4 genes that vary: take another.")
    cells = AnnData(X=x)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scanpy's advice is of no use here
            sc.pp.highly_variable_genes(cells, n_top_genes=n_top_genes, flavor="seurat_v3")
    except ValueError as error:  # too few genes for its regression
        common = np.flatnonzero(x.getnnz(axis=0) >= 3)
        if len(common) < x.shape[1]:
            return np.asarray(common[seurat_v3_genes(x[:, common], n_top_genes)])
        raise UserError("hvg_flavor=seurat_v3 fails on these cells: take another.") from error
    return np.flatnonzero(cells.var["highly_variable"].to_numpy())


def names_that_fit(names: list[str], var: pd.DataFrame) -> str:
    """Return in words which names in `var` are those of most genes of a fit; "" if none are."""
    columns = {"var_names": var.index, **{f"var[{name!r}]": var[name] for name in var}}
    known = {place: pd.Index(values).astype(str) for place, values in columns.items()}
    bare = {f"{p} up to the dot": x.str.replace(r"\..*", "", regex=True) for p, x in known.items()}
    shares = {place: pd.Index(names).isin(x).mean() for place, x in (known | bare).items()}
    best = max(shares, key=lambda place: shares[place])
    return f" (those of {best} fit)" if shares[best] > 0.5 else ""
