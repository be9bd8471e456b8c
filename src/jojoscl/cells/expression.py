"""The cells as a method takes them: counts of the chosen genes, logarithms and z-scores."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import scipy.sparse as sp

from jojoscl.cells.genes import mean_variance

Rows: TypeAlias = np.ndarray | slice

ALL = slice(None)
_BAND = 1024  # cells
_ENTRIES = 1 << 24  # of the matrix, counted at a time
_RESIDUALS = 512  # cells whose residuals are made at a time: they stay in the processor's cache


@dataclass(eq=False)
class Expression:
    """Cells (n,) x chosen genes (g,): what a method asks for values of cells.

    :class:`~jojoscl.cells.preprocess.Preprocess` makes it.

    Parameters
    ----------
    values
        (n, g) float32, in memory or memory-mapped: counts, or the logarithms that were given.
    kind
        "counts", "rpkm" or "log1p": what the values are.
    totals, sizes
        (n,) float32: counts of each cell over all genes, and over the genes `counted`.
    unit
        Logarithms are log(1 + unit * count / size).
    genes
        Indices (g,) of the chosen genes among those of the cells.
    counted, counted_names
        Indices (c,), rising, and names of the genes whose counts make a size.
    profile
        Mean normalised count (c,) of these genes.
    limit
        Z-scores are clipped here.
    samples
        Number (n,) of each cell's sample, or None.
    rounded
        Whether values that are not whole were rounded up.
    moments
        Mean and standard deviation (g,) of each gene's logarithms, float64, with n - 1; given, if
        they are those of other cells.
    """

    values: sp.csr_matrix
    kind: str
    totals: np.ndarray
    sizes: np.ndarray
    unit: float
    genes: np.ndarray
    counted: np.ndarray
    counted_names: np.ndarray
    profile: np.ndarray
    limit: float = np.inf
    samples: np.ndarray | None = None
    rounded: bool = False
    moments: tuple[np.ndarray, np.ndarray] | None = None

    def __post_init__(self) -> None:
        if self.moments is None:
            mean, variance = mean_variance(self._logs(band) for band in self._bands())
            self.moments = mean, np.sqrt(variance)
        self.mean, self.sd = self.moments
        self._zero = self._z(np.zeros(self.n_genes, np.float32), ALL)  # z-scores of a count of 0

    def __len__(self) -> int:
        return int(self.values.shape[0])

    @property
    def n_genes(self) -> int:
        """Return g."""
        return int(self.values.shape[1])

    @property
    def names(self) -> np.ndarray:
        """Return the names (g,) of the chosen genes."""
        return self.counted_names[np.searchsorted(self.counted, self.genes)]

    @property
    def seen(self) -> np.ndarray:
        """Return the share (g,) of cells in which each gene is seen."""
        indices = self.values.indices
        bands = np.array_split(indices, 1 + len(indices) // _ENTRIES)
        return np.asarray(sum(np.bincount(x, minlength=self.n_genes) for x in bands)) / len(self)

    @property
    def size_factors(self) -> np.ndarray:
        """Return size / median size (n,) float32; 1 for each cell if logarithms were given."""
        sizes = np.ones_like(self.sizes) if self.kind == "log1p" else self.sizes
        return np.asarray(sizes / np.median(sizes), np.float32)

    def counts(self, rows: Rows = ALL) -> sp.csr_matrix:
        """Return the counts (m, g) of some cells; exp(x) - 1 if logarithms were given."""
        x = self.values[rows]
        return x.expm1() if self.kind == "log1p" else x

    def logs(self, rows: Rows = ALL) -> np.ndarray:
        """Return log(1 + unit * count / size) of some cells, (m, g) float32."""
        return np.asarray(self._logs(rows).toarray())

    def zscores(self, rows: Rows = ALL) -> np.ndarray:
        """Return z-scores of the logarithms of some cells, (m, g) float32, clipped at the limit."""
        x = self._logs(rows)
        z = np.tile(self._zero, (x.shape[0], 1))
        of_entry = np.repeat(np.arange(x.shape[0]), np.diff(x.indptr))
        z[of_entry, x.indices] = self._z(x.data, x.indices)
        return z

    def __matmul__(self, loadings: np.ndarray) -> np.ndarray:
        """Return z-scores times loadings (g, d): (n, d) float32."""
        h = np.empty((len(self), loadings.shape[1]), np.float32)
        for band in self._bands():
            x = self._logs(band)
            # z = z(0) + (z - z(0)), and the second part is 0 where a count is
            x.data = self._z(x.data, x.indices) - self._zero[x.indices]
            h[band] = x @ loadings + self._zero @ loadings
        return h

    def residuals(self, rows: Rows, theta: float) -> np.ndarray:
        """Return Pearson residuals (m, g) float32 of the counts of some cells, clipped at sqrt(m).

        Under a negative binomial with mean mu_ij = total_i share_j and variance mu + mu^2 / theta:
        Lause, Berens & Kobak, Genome Biol 2021, eq. 3. Means and limit are those of these cells.
        """
        counts, totals = self.counts(rows), self.totals[rows]
        share = np.asarray(counts.sum(0), dtype=np.float64).ravel() / totals.sum()
        residuals, limit = np.empty(counts.shape, np.float32), len(totals) ** 0.5
        for start in range(0, len(totals), _RESIDUALS):
            band = slice(start, start + _RESIDUALS)
            mu = np.outer(totals[band], share).astype(np.float32)
            x = counts[band].toarray() - mu
            x /= np.sqrt(np.maximum(mu * (1 + mu / np.float32(theta)), np.float32(1e-12)))
            residuals[band] = np.clip(x, -limit, limit)
        return residuals

    def _bands(self) -> Iterator[slice]:
        return (slice(start, start + _BAND) for start in range(0, len(self), _BAND))

    def _logs(self, rows: Rows) -> sp.csr_matrix:
        x = self.values[rows]  # a copy
        if self.kind != "log1p":
            factors = np.repeat(self.sizes[rows] / self.unit, np.diff(x.indptr))
            x.data = np.log1p(x.data / factors)
        return x

    def _z(self, values: np.ndarray, genes: Rows) -> np.ndarray:
        """Return the z-scores (m,) of logarithms (m,), rounded to float32 where scanpy rounds."""
        z = ((values - self.mean[genes]).astype(np.float32) / self.sd[genes]).astype(np.float32)
        return np.clip(z, -np.float32(self.limit), np.float32(self.limit))
