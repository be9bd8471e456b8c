"""Simulated cells with a known truth: zero-inflated negative binomial counts, types of uneven size.

The count of gene j in cell i of type k is 0 with probability `dropout`, else negative binomial with
mean mu_ij = l_i p_kj and variance mu_ij + dispersion mu_ij^2. The library size l_i is log-normal;
the profile p_k is a log-normal base that all types share, times a log-normal fold change for the
markers of type k, scaled to sum 1.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from jojoscl.cells.matrix import stack_rows
from jojoscl.utils.errors import UserError
from jojoscl.utils.settings import Settings, setting

BAND_VALUES = 1 << 22  # counts are drawn in dense bands of about four million


@dataclass(kw_only=True)
class SimulatedDataset(Settings):
    """Cells drawn from a zero-inflated negative binomial model; a seed gives the same anywhere."""

    name: str = setting("simulated", "What the results call it.")
    n_cells: int = setting(1000, "Number of cells.", low=2)
    n_genes: int = setting(1000, "Number of genes.", low=1)
    n_types: int = setting(6, "Number of types.", low=1)
    type_sizes: list[float] | None = setting(None, "Relative sizes, as [5, 3, 1]; None: drawn.")
    concentration: float = setting(2.0, "Of the Dirichlet distribution of the sizes.", low=0.01)
    library_size: float = setting(1500.0, "Median of the counts of a cell, before dropout.", low=1)
    library_sd: float = setting(0.4, "Sd of the logarithm of the library size.", low=0)
    dispersion: float = setting(0.5, "Variance = mean + dispersion mean^2.", low=0)
    dropout: float = setting(0.1, "Probability that a count is lost.", low=0, high=0.999)
    marker_fraction: float = setting(0.1, "Share of the genes that mark a type.", low=0, high=1)
    fold_change_sd: float = setting(1.0, "Sd of the logarithm of the markers' fold change.", low=0)
    seed: int = setting(0, "Seed of the cells; the run's seed is another.", low=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.name.startswith("simulated"):  # its rows would be those of real cells
            raise UserError(f"{self.name!r} is simulated: start the name with 'simulated'.")

    def load(self) -> AnnData:
        """Draw the cells: X (n_cells, n_genes), ``obs["cell_type"]``, ``obs["library_size"]``.

        The truth is in ``uns["simulated"]``: `profiles` (n_types, n_genes), `dispersion`,
        `dropout`. A cell that would have no count at all gets one, on a gene drawn from its
        profile.
        """
        rng = np.random.default_rng(self.seed)
        types, profiles = self._types(rng), self._profiles(rng)
        library = self.library_size * np.exp(self.library_sd * rng.standard_normal(self.n_cells))
        names = pd.Index([f"type{k + 1}" for k in range(self.n_types)])
        obs = pd.DataFrame(
            {"cell_type": pd.Categorical.from_codes(types, names), "library_size": library},
            index=[f"cell{i}" for i in range(self.n_cells)],
        )
        var = pd.DataFrame(index=[f"gene{j}" for j in range(self.n_genes)])
        cells = AnnData(self._counts(types, library, profiles), obs=obs, var=var)
        cells.uns.update(
            kind="counts", kind_decided_by="simulation", name=self.name, variant="default"
        )
        truth = {"profiles": profiles, "dispersion": self.dispersion, "dropout": self.dropout}
        cells.uns["simulated"] = truth
        return cells

    def fingerprint(self) -> dict[str, object]:
        """Return nothing: the settings say all."""
        return {}

    def _types(self, rng: np.random.Generator) -> np.ndarray:
        """Return the type of each cell (n_cells,), in random order; no type is empty."""
        sizes = rng.dirichlet(np.full(self.n_types, self.concentration))
        if self.type_sizes is not None:
            sizes = np.asarray(self.type_sizes, float)
        if len(sizes) != self.n_types or (sizes < 0).any() or not sizes.sum() > 0:
            raise UserError(f"type_sizes must be {self.n_types} numbers that are not negative.")
        if self.n_types > self.n_cells:
            raise UserError(f"{self.n_types} types need at least as many cells: raise n_cells.")
        ideal = np.maximum(sizes / sizes.sum() * self.n_cells, 1.0)
        counts = np.floor(ideal).astype(int)
        while missing := self.n_cells - counts.sum():  # fractions are left, or types were raised
            gap = ideal - counts
            change = np.argmax(gap if missing > 0 else np.where(counts > 1, -gap, -np.inf))
            counts[change] += np.sign(missing)
        return rng.permutation(np.repeat(np.arange(self.n_types), counts))

    def _profiles(self, rng: np.random.Generator) -> np.ndarray:
        """Return the share of each gene in each type (n_types, n_genes); rows sum to 1."""
        base = np.exp(rng.standard_normal(self.n_genes))
        markers = rng.random((self.n_types, self.n_genes)) < self.marker_fraction
        folds = np.exp(self.fold_change_sd * rng.standard_normal((self.n_types, self.n_genes)))
        profiles = base * np.where(markers, folds, 1.0)
        return np.asarray(profiles / profiles.sum(axis=1, keepdims=True))

    def _counts(
        self, types: np.ndarray, library: np.ndarray, profiles: np.ndarray
    ) -> sp.csr_matrix:
        """Draw bands of rows, each with a generator of its own."""
        step = max(1, BAND_VALUES // self.n_genes)
        bands = [slice(start, start + step) for start in range(0, self.n_cells, step)]
        seeds = np.random.SeedSequence(self.seed).spawn(len(bands))
        return stack_rows(
            self.draw(np.random.default_rng(seed), types[rows], library[rows], profiles)
            for rows, seed in zip(bands, seeds, strict=True)
        )

    def draw(
        self, rng: np.random.Generator, types: np.ndarray, library: np.ndarray, profiles: np.ndarray
    ) -> sp.csr_matrix:
        """Draw counts of cells of these types (n,), library sizes (n,) and profiles."""
        rate = profiles.astype(np.float32)[types] * library[:, None].astype(np.float32)
        if self.dispersion > 0:  # a negative binomial is a Poisson with a gamma rate
            gamma = rng.standard_gamma(1 / self.dispersion, rate.shape, dtype=np.float32)
            rate *= gamma * np.float32(self.dispersion)
        if self.dropout > 0:
            rate[rng.random(rate.shape, dtype=np.float32) < self.dropout] = 0.0
        counts = rng.poisson(rate)
        for i in np.flatnonzero(counts.sum(axis=1) == 0):
            counts[i, rng.choice(self.n_genes, p=profiles[types[i]])] = 1
        return sp.csr_matrix(counts, dtype=np.float32)


def simulate(
    n_cells: int = 1000, n_genes: int = 1000, n_types: int = 6, **settings: object
) -> AnnData:
    """Draw cells; `settings` are those of :class:`SimulatedDataset`.

    Examples
    --------
    >>> simulate(100, 50, 3, dropout=0.5, seed=1).shape
    (100, 50)
    """
    sizes = {"n_cells": n_cells, "n_genes": n_genes, "n_types": n_types}
    return SimulatedDataset.of(sizes | settings).load()
