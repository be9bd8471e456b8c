"""Data: the catalogue of public sets, readers, preprocessing, simulation, corruption."""

from jojoscl.data.catalog import CATALOG
from jojoscl.data.cells import as_cells, check_cells
from jojoscl.data.corrupt import Corrupt
from jojoscl.data.datasets import CatalogDataset, FileDataset, load_dataset
from jojoscl.data.preprocess import Preprocess
from jojoscl.data.simulate import SimulatedDataset, simulate

__all__ = [
    "CATALOG",
    "CatalogDataset",
    "Corrupt",
    "FileDataset",
    "Preprocess",
    "SimulatedDataset",
    "as_cells",
    "check_cells",
    "load_dataset",
    "simulate",
]
