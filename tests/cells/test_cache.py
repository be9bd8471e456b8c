"""The cache of preprocessed cells: what names an entry, damage, races, and folders that cannot be used."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from anndata import AnnData

from jojoscl.cells import cache, preprocess
from jojoscl.cells.cache import cached
from jojoscl.cells.checks import as_cells
from jojoscl.cells.preprocess import Preprocess, preprocessed, stored
from jojoscl.cells.store import Store
from jojoscl.datasets.load import FileDataset
from jojoscl.datasets.simulate import simulate
from jojoscl.utils.errors import UserError
from jojoscl.utils.files import whole_folder
from tests.hostile import flipped_or_cut

SETTINGS = Preprocess(n_top_genes=50)


@pytest.fixture(scope="module")
def adata() -> AnnData:
    return simulate(150, 400, 4, library_size=600.0, seed=3)


def entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def same(a: AnnData, b: AnnData) -> None:
    np.testing.assert_array_equal(a.X, b.X)
    assert a.obs.equals(b.obs)
    assert list(a.var_names) == list(b.var_names)
    assert ("counts" in a.layers) == ("counts" in b.layers)
    if "counts" in a.layers:
        assert (a.layers["counts"] != b.layers["counts"]).nnz == 0


def no_computing(*_: object) -> Store:
    raise AssertionError("computed although it was in the cache")


@pytest.mark.parametrize("kind", ["counts", "log1p"])
def test_cache_gives_the_same(
    adata: AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    source = as_cells(AnnData(adata.X if kind == "counts" else adata.X.log1p()), kind=kind)
    first = SETTINGS(source, tmp_path / "cache")
    assert len(entries(tmp_path / "cache")) == 1
    same(first, SETTINGS(source))
    monkeypatch.setattr(preprocess, "build", no_computing)
    same(SETTINGS(source, str(tmp_path / "cache")), first)
    np.testing.assert_array_equal(preprocessed(SETTINGS, source, tmp_path / "cache"), first.X)
    large = Preprocess(n_top_genes=50, dense_gib=0)  # says where the values lie, not what they are
    np.testing.assert_array_equal(preprocessed(large, source, tmp_path / "cache")[:], first.X)


def test_cache_is_keyed_by_content_and_settings(adata: AnnData, tmp_path: Path) -> None:
    other = adata.copy()
    other.X.data[0] += 1
    as_rpkm = adata.copy()
    as_rpkm.uns["kind"] = "rpkm"
    SETTINGS(adata, tmp_path)
    Preprocess(n_top_genes=51)(adata, tmp_path)
    SETTINGS(other, tmp_path)
    SETTINGS(as_rpkm, tmp_path)
    assert len(entries(tmp_path)) == 4


# ---- damage --------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty", "gone", "longer"])
@pytest.mark.parametrize("name", ["values.bin", "columns.bin", "rest.npz", "digests.json"])
def test_damaged_cache_is_computed_anew(
    adata: AnnData, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str, name: str
) -> None:
    first = SETTINGS(adata, tmp_path)
    (entry,) = entries(tmp_path)
    content = (entry / name).read_bytes()
    (entry / name).unlink()
    if damage != "gone":
        other = {
            "truncated": content[: len(content) // 2],
            "garbage": b"x" * 99,
            "empty": b"",
            "longer": content * 2,
        }
        (entry / name).write_bytes(other[damage])
    with caplog.at_level(logging.WARNING):
        same(SETTINGS(adata, tmp_path), first)
    assert f"{entry} is damaged" in caplog.text
    caplog.clear()
    same(SETTINGS(adata, tmp_path), first)
    assert not caplog.text
    assert entries(tmp_path) == [entry]


@pytest.mark.parametrize("backed", [True, False], ids=["backed", "memory"])
def test_a_flipped_or_cut_byte_gives_no_other_result(
    adata: AnnData, tmp_path: Path, backed: bool
) -> None:
    """50 mutations of a store: each gives what was there before."""
    adata.write_h5ad(tmp_path / "a.h5ad")
    cells = FileDataset(path=tmp_path / "a.h5ad", backed=True).load() if backed else adata
    folder, rng = tmp_path / "cache", np.random.default_rng(0)
    expected = stored(SETTINGS, cells, folder)[:]
    (entry,) = entries(folder)
    written = {file: file.read_bytes() for file in entries(entry)}
    for _ in range(50):
        file = list(written)[rng.integers(len(written))]
        file.write_bytes(flipped_or_cut(written[file], rng))
        found = stored(SETTINGS, cells, folder)
        np.testing.assert_array_equal(found[:], expected)
        for path, good in written.items():  # what was computed anew is what was there
            assert path.read_bytes() == good


def test_an_entry_that_is_no_folder_is_replaced(adata: AnnData, tmp_path: Path) -> None:
    first = SETTINGS(adata, tmp_path)
    (entry,) = entries(tmp_path)
    for file in entries(entry):
        file.unlink()
    entry.rmdir()
    entry.write_text("no folder")
    same(SETTINGS(adata, tmp_path), first)
    assert entry.is_dir()


def test_digests_are_of_all_other_files(adata: AnnData, tmp_path: Path) -> None:
    SETTINGS(adata, tmp_path)
    (entry,) = entries(tmp_path)
    digests = json.loads((entry / "digests.json").read_text())
    assert sorted([*digests, "digests.json"]) == [file.name for file in entries(entry)]


# ---- several processes ---------------------------------------------------------------------------


def test_of_two_that_fill_one_entry_both_get_it(adata: AnnData, tmp_path: Path) -> None:
    """The other process is faster: its entry is there when ours is to be renamed."""
    expected = SETTINGS(adata).X

    def slow(folder: Path | None) -> Store:
        cached(tmp_path, "entry", lambda at: preprocess.build(SETTINGS, adata, at))
        return preprocess.build(SETTINGS, adata, folder)

    np.testing.assert_array_equal(cached(tmp_path, "entry", slow)[:], expected)
    assert [path.name for path in entries(tmp_path)] == ["entry"]


def test_a_cache_that_is_deleted_meanwhile(adata: AnnData, tmp_path: Path) -> None:
    def deleted(folder: Path | None) -> Store:
        store = preprocess.build(SETTINGS, adata, folder)
        if folder:
            (tmp_path / "cache").rename(tmp_path / "gone")
        return store

    with pytest.raises(UserError, match="cache/entry cannot be written, as its folder is gone"):
        cached(tmp_path / "cache", "entry", deleted)


def test_three_threads_fill_one_empty_cache(adata: AnnData, tmp_path: Path) -> None:
    start, settings = threading.Barrier(3), [Preprocess(n_top_genes=n) for n in range(30, 50)]

    def fill(_: int) -> list[np.ndarray]:
        start.wait()
        return [one(adata, tmp_path).X for one in settings]

    with ThreadPoolExecutor(3) as pool:
        for found in pool.map(fill, range(3)):
            for x, one in zip(found, settings, strict=True):
                np.testing.assert_array_equal(x, one(adata).X)
    assert len(entries(tmp_path)) == 20


RACE = """
import sys, time
from pathlib import Path
from jojoscl.cells.preprocess import Preprocess
from jojoscl.datasets.simulate import simulate
cells = simulate(150, 400, 4, library_size=600.0, seed=3)
Path(sys.argv[2]).touch()
while not Path(sys.argv[3]).exists():
    time.sleep(0.001)
for n in range(30, 40):
    Preprocess(n_top_genes=n)(cells, sys.argv[1])
"""


@pytest.mark.slow
def test_three_processes_fill_one_empty_cache(adata: AnnData, tmp_path: Path) -> None:
    folder, go = tmp_path / "cache", tmp_path / "go"
    ready = [tmp_path / f"ready{i}" for i in range(3)]
    commands = [[sys.executable, "-c", RACE, str(folder), str(path), str(go)] for path in ready]
    processes = [
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for command in commands
    ]
    while not all(path.exists() for path in ready) and all(
        process.poll() is None for process in processes
    ):
        time.sleep(0.01)
    go.touch()
    for process in processes:
        assert (process.communicate()[1], process.returncode) == ("", 0)
    assert len(entries(folder)) == 10
    assert all(path.name.startswith("preprocessed-") for path in entries(folder))


# ---- folders that cannot be used -----------------------------------------------------------------


def test_cache_folder_that_cannot_be_used(adata: AnnData, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / ("x" * 300)):
        with pytest.raises(UserError, match=r"cannot be used as cache .* choose another folder"):
            SETTINGS(adata, folder)


def test_a_cache_that_can_only_be_read(
    adata: AnnData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, access = SETTINGS(adata, tmp_path), os.access
    before = entries(tmp_path)
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK and access(path, mode))
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(preprocess, "build", no_computing)
        same(SETTINGS(adata, tmp_path), first)
    assert not caplog.text
    other = Preprocess(n_top_genes=20)
    with caplog.at_level(logging.WARNING):
        same(other(adata, tmp_path), other(adata))
    assert caplog.messages == [f"the cache {tmp_path} cannot be written: going on without it"]
    assert entries(tmp_path) == before


FULL = OSError(28, "No space left on device")


@pytest.mark.parametrize(
    "writes", ["contextlib.ExitStack.enter_context", "numpy.savez", "pathlib.Path.write_text"]
)
def test_no_space_for_the_cache(
    adata: AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: str
) -> None:
    monkeypatch.setattr(writes, Mock(side_effect=FULL))
    monkeypatch.setattr(cache, "intact_store", lambda _: None)  # it reads by the same functions
    with pytest.raises(UserError, match=f"No space left to write {tmp_path}/preprocessed-"):
        SETTINGS(adata, tmp_path)
    assert not entries(tmp_path)


def test_a_large_store_without_a_cache(
    adata: AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lies where the system keeps temporary files, and leaves nothing there."""
    large = Preprocess(n_top_genes=50, dense_gib=0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    write = Mock(side_effect=preprocess.write_store)
    monkeypatch.setattr(preprocess, "write_store", write)
    found, small = preprocessed(large, adata, None), preprocessed(SETTINGS, adata, None)
    places = [call.args[1] for call in write.call_args_list]
    assert [place and place.parent for place in places] == [tmp_path, None]
    np.testing.assert_array_equal(found[:], small)
    assert not entries(tmp_path)
    monkeypatch.setattr("numpy.savez", Mock(side_effect=FULL))
    with pytest.raises(UserError, match=f"No space left to write {tmp_path}"):
        preprocessed(large, adata, None)
    assert not entries(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._candidate_tempdir_list", lambda: [str(tmp_path / "none")])
    with pytest.raises(UserError, match="name one by TMPDIR"):
        preprocessed(large, adata, None)


def test_what_killed_processes_left_is_swept(adata: AnnData, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    with whole_folder(tmp_path / "other") as ours:
        left = tmp_path / ours.parent.name.replace(f"-{os.getpid()}-", f"-{gone.pid}-")
        left.mkdir()
        (left / "values.bin").write_bytes(b"half")
        SETTINGS(adata, tmp_path)
        assert not left.exists()
        assert ours.exists()
