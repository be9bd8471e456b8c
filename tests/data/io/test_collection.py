"""annbatch collections, where annbatch is installed (Python 3.12); elsewhere what is said of them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import zarr
from anndata import AnnData

from jojoscl.data import FileDataset, Preprocess, simulate
from jojoscl.data.io.matrix import row_chunks, stack_rows
from jojoscl.data.preprocess import preprocessed
from jojoscl.utils.errors import UserError

SETTINGS = Preprocess(n_top_genes=40, max_value=10.0)
needs_annbatch = pytest.mark.skipif(find_spec("annbatch") is None, reason="annbatch is not installed")


@pytest.fixture
def cells() -> AnnData:
    return simulate(90, 60, 3, library_size=300)


@pytest.fixture
def collection(cells: AnnData, tmp_path: Path) -> Path:
    """Stores of at most 40 cells of two files."""
    import annbatch

    files = []
    for name, part in (("a", cells[:50]), ("b", cells[50:])):
        files.append(tmp_path / f"{name}.h5ad")
        part.write_h5ad(files[-1])
    small = {"n_obs_per_chunk": 10, "dataset_size": 40, "shuffle_chunk_size": 5}
    annbatch.DatasetCollection(tmp_path / "cells.zarr").add_adatas(files, rng=np.random.default_rng(0), **small)
    return tmp_path / "cells.zarr"


@needs_annbatch
@pytest.mark.filterwarnings("default")  # what annbatch and zarr say to each other
def test_a_collection_is_the_cells_of_its_files(
    cells: AnnData, collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jojoscl.data.io.collection.BAND_BYTES", 7 * 60)
    opened = FileDataset(path=collection, backed=True, label_key="cell_type").load()
    there = cells[opened.obs_names]
    assert sorted(opened.obs_names) == sorted(cells.obs_names)
    assert opened.obs["cell_type"].tolist() == there.obs["cell_type"].tolist()
    assert opened.var_names.tolist() == cells.var_names.tolist()
    bands = list(row_chunks(opened.X))
    assert len(bands) > 9
    np.testing.assert_array_equal(stack_rows(bands).toarray(), there.X.toarray())

    store = preprocessed(SETTINGS, opened, tmp_path / "cache")
    np.testing.assert_allclose(store[:], preprocessed(SETTINGS, there, None), atol=1e-4)
    again = FileDataset(path=collection, backed=True).load()
    preprocessed(SETTINGS, again, tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 1, "the same files are preprocessed once"


@needs_annbatch
@pytest.mark.filterwarnings("default")
def test_a_collection_without_cells_or_without_the_layer(collection: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no matrix counts"):
        FileDataset(path=collection, backed=True, layer="counts").load()
    zarr.open_group(tmp_path / "empty.zarr", mode="w", attributes={"encoding-type": "annbatch-preshuffled"})
    with pytest.raises(UserError, match="without cells"):
        FileDataset(path=tmp_path / "empty.zarr", backed=True).load()


@pytest.mark.skipif(find_spec("annbatch") is not None, reason="annbatch is installed")
def test_without_annbatch_a_collection_is_named(tmp_path: Path) -> None:
    zarr.open_group(tmp_path / "cells.zarr", mode="w", attributes={"encoding-type": "annbatch-preshuffled"})
    with pytest.raises(UserError, match=r"annbatch collection: pip install 'jojoscl\[annbatch\]'"):
        FileDataset(path=tmp_path / "cells.zarr", backed=True).load()
