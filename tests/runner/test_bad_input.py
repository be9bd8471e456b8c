"""Bad input as a user hands it in: one clear sentence, exit code 2, and nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import lightning as L
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from anndata import AnnData

import jojoscl
import jojoscl.runner.output
from jojoscl.datasets.catalog import CATALOG, Entry, Variant
from jojoscl.datasets.download import RemoteFile
from jojoscl.datasets.readers import read_h5
from jojoscl.runner.config import compose
from jojoscl.runner.run import run
from jojoscl.utils.errors import UserError

if TYPE_CHECKING:  # several folders have a conftest
    from conftest import Command, InProcess

COUNTS = np.random.default_rng(0).poisson(1.0, (30, 20)) + np.eye(30, 20)
QUICK = (
    "trainer.max_epochs=1",
    "trainer.progress_bar=false",
    "pictures=false",
    "method=jojoscl_paper",
    "method.encoder_dims=[8,4]",
)
OWN = ("data=h5ad", "data.path=cells.h5ad", "n_clusters=3", *QUICK)  # a file of the user's
SIMULATED = ("data=simulated", "data.n_cells=60", "data.n_genes=50", *QUICK)
IN_RUN = (*SIMULATED, "hydra.run.dir=run")  # a folder that holds a run already

Prepare = Callable[[Path], Any]


def user_cells(x: np.ndarray = COUNTS, **obs: list[str]) -> AnnData:
    adata = AnnData(sp.csr_matrix(x, dtype=np.float64))
    adata.obs_names, adata.var_names = (
        pd.Index([f"{word}{i}" for i in range(n)])
        for word, n in zip(("cell", "gene"), x.shape, strict=True)
    )
    for key, values in obs.items():
        adata.obs[key] = pd.Categorical(values)
    return adata


def h5ad(adata: AnnData) -> Prepare:
    return lambda folder: adata.write_h5ad(folder / "cells.h5ad")


def with_value(position: Any, value: float) -> AnnData:
    x = COUNTS.copy()
    x[position] = value
    return user_cells(x)


def renamed(**names: list[str]) -> AnnData:
    adata = user_cells()
    for key, values in names.items():
        setattr(adata, key, values)
    return adata


def h5(x: np.ndarray) -> Prepare:
    def write(folder: Path) -> None:
        with h5py.File(folder / "cells.h5", "w") as file:
            file["X"], file["Y"] = x, np.arange(30) % 3

    return write


def half_of(name: str, write: Prepare) -> Prepare:
    def write_half(folder: Path) -> None:
        write(folder)
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return write_half


def text(name: str, content: str = "no cells") -> Prepare:
    return lambda folder: (folder / name).write_text(content)


def both(*prepare: Prepare) -> Prepare:
    return lambda folder: [step(folder) for step in prepare]


BARCODES = [f"AAACCTGAG{a}{b}{c}-1" for a in "ACGT" for b in "ACGT" for c in "ACGT"][:20]
GOOD = h5ad(user_cells())

CASES: dict[str, tuple[Prepare | None, tuple[str, ...], str]] = {
    # files
    "no path": (None, ("data=h5ad",), "data.path=/path/to/cells.h5ad"),
    "missing file": (None, OWN, "cells.h5ad does not exist"),
    "folder as file": (lambda folder: (folder / "cells.h5ad").mkdir(), OWN, "cells.h5ad does not exist, or is not"),
    "truncated h5": (half_of("cells.h5", h5(COUNTS)), (*OWN, "data.path=cells.h5"), "cells.h5 cannot be read (Unable"),
    "truncated h5ad": (half_of("cells.h5ad", GOOD), OWN, "cells.h5ad cannot be read (Unable"),
    "not an h5": (text("cells.h5"), (*OWN, "data.path=cells.h5"), "signature not found"),
    "not an h5ad": (text("cells.h5ad"), OWN, "signature not found"),
    "wrong suffix": (text("cells.xlsx"), (*OWN, "data.path=cells.xlsx"), "cells.xlsx has no known suffix"),
    # matrices
    "transposed h5": (h5(COUNTS.T), (*OWN, "data.path=cells.h5"), "looks transposed, change data.transpose"),
    "transposed h5ad": (h5ad(renamed(var_names=BARCODES)), OWN, "give data.transpose=true"),
    "negative": (h5ad(with_value((0, 0), -1)), OWN, "1 values are negative"),
    "NaN": (h5ad(with_value((0, 0), np.nan)), OWN, "1 values are NaN or infinite"),
    "infinite": (h5ad(with_value((0, 0), np.inf)), OWN, "1 values are NaN or infinite"),
    "counts not whole": (h5ad(with_value((0, 0), 0.5)), (*OWN, "data.kind=counts"), "not whole (such as 0.5)"),
    "neither counts nor log": (h5ad(with_value((0, 0), 170.5)), OWN, "data.kind=rpkm or log1p"),
    "no genes": (h5ad(user_cells(COUNTS[:, :0])), OWN, "30 cells and 0 genes"),
    "one cell": (h5ad(user_cells(COUNTS[:1])), OWN, "1 cells and 20 genes"),
    "no genes left": (GOOD, (*OWN, "method.preprocess.min_cells=31"), "No gene is seen in 31 cells or more"),
    "constant genes": (h5ad(user_cells(np.ones((30, 20)))), OWN, "No gene is left that varies"),
    "an empty cell": (h5ad(with_value((3, slice(None)), 0)), OWN, "1 cells have no counts at all (such as 'cell3')"),
    "all cells empty": (h5ad(user_cells(np.zeros((30, 20)))), OWN, "30 cells have no counts at all"),
    "duplicate barcodes": (h5ad(renamed(obs_names=["a"] * 30)), OWN, "29 cells have the name of another (such as 'a')"),
    "no such layer": (GOOD, (*OWN, "data.layer=counts"), "no layer 'counts'"),
    # the number of clusters, and labels
    "one cluster": (None, (*SIMULATED, "n_clusters=1"), "n_clusters must be a whole number of at least 2, not 1"),
    "more clusters than cells": (None, (*SIMULATED, "n_clusters=61"), "61 clusters were asked for, but there are only"),
    "a fraction of a cluster": (None, (*SIMULATED, "n_clusters=2.5"), "whole number, annotated or null, not 2.5"),
    "clusters in words": (None, (*SIMULATED, "n_clusters=many"), "annotated or null, not 'many'"),
    "no clusters": (None, ("data=simulated", "n_clusters=null", "method=pca_kmeans"), "give n_clusters=<whole number>"),
    "no labels to count": (GOOD, (*OWN, "n_clusters=annotated"), "no annotated types to count"),
    "oracle without labels": (GOOD, (*OWN, "selection=oracle"), "selection=oracle needs annotated types"),
    "oracle without epochs": (
        None,
        ("method=pca_kmeans", "selection=oracle"),
        "pca_kmeans has no epochs to choose from",
    ),
    "wrong label key": (
        h5ad(user_cells(celltype=["a", "b"] * 15)),
        (*OWN, "data.label_key=cell_type"),
        "no column 'cell_type' in the cells' annotation (did you mean 'celltype'?)",
    ),
    # choices and settings
    "unknown dataset": (None, ("data=blader",), "data has no choice 'blader' (did you mean 'bladder'?)"),
    "unknown variant": (None, ("data=yan", "data.variant=all_gene"), "no variant 'all_gene' (did you mean 'all_genes'"),
    "unknown method": (None, ("method=jojo_scl",), "method has no choice 'jojo_scl' (did you mean 'jojoscl'?)"),
    "an old setting": (None, ("preprocess.log1p=true",), "no setting 'preprocess.log1p' (did you mean 'method."),
    "unknown key": (None, ("sead=1",), "no setting 'sead' (did you mean 'seed'?)"),
    "unknown key far from any": (None, ("xyzzyqwfp=1",), "no setting 'xyzzyqwfp': jojoscl --cfg job shows all"),
    "unknown key below": (None, ("method.n_drws=1",), "no setting 'method.n_drws' (did you mean 'method.n_draws'"),
    "unknown key of Hydra": (None, ("hydra.run.dirr=a",), "(did you mean 'hydra.run.dir'?)"),
    "unknown key taken away": (None, ("~data.nam",), "no setting 'data.nam' (did you mean 'data.name'?)"),
    "unknown key added": (None, (*SIMULATED, "+method.momentun=1"), "no setting 'momentun' (did you mean 'momentum'?)"),
    "unknown value": (None, (*SIMULATED, "selection=orcle"), "selection has no value 'orcle' (did you mean 'oracle'?)"),
    "out of range": (None, (*SIMULATED, "method.momentum=2"), "momentum must be between 0 and 1, not 2"),
    "wrong type": (None, (*SIMULATED, "method.momentum=fast"), "momentum must be float, not 'fast'"),
    "words as widths": (None, (*SIMULATED, "method.encoder_dims=[wide]"), "encoder_dims must be int, not 'wide'"),
    "no widths": (None, (*SIMULATED, "method.encoder_dims=[]"), "encoder_dims and instance_dims hold the widths"),
    "width zero": (None, (*SIMULATED, "method.cluster_dims=[0]"), "cluster_dims must be at least 1, not [0]"),
    "negative seed": (None, (*SIMULATED, "seed=-1"), "seed must be between 0 and 4294967295, not -1"),
    "seed in words": (None, (*SIMULATED, "seed=zero"), "seed must be int, not 'zero'"),
    "unknown precision": (None, (*SIMULATED, "trainer.precision=33"), "precision must be str"),
    "wrong precision": (None, (*SIMULATED, "trainer.precision=half"), "precision=half (Precision 'half' is invalid"),
    # what cannot be read as settings at all
    "no key": (None, ("=3",), "'=3' cannot be read: settings are given as key=value"),
    "no value": (None, ("seed",), "'seed' cannot be read: settings are given as key=value"),
    "letters that Hydra does not know": (None, ("name=größe",), "quote the value for jojoscl and all for the"),
    "open bracket": (None, ("method.encoder_dims=[1,",), "cannot be read: settings are given as key=value"),
    "number as choice": (None, ("data=3",), "'data=3' names no choice"),
    "several values": (None, ("seed=1,2",), "'seed=1,2' gives several values: add -m"),
    "unknown flag": (None, ("--sweep",), "Unrecognized arguments: --sweep: see jojoscl --help"),
    # folders
    "cache folder is a file": (both(GOOD, text("cache")), (*OWN, "paths.cache=cache"), "cache cannot be used as cache"),
    "runs folder is a file": (both(GOOD, text("runs")), OWN, "cannot be written (Not a directory): choose another"),
    "run folder is a file": (both(GOOD, text("run")), (*OWN, "hydra.run.dir=run"), "run cannot be written (File"),
}  # fmt: skip


def tree(folder: Path) -> dict[str, bytes | None]:
    """All that is in a folder, None for folders."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def assert_refused(
    in_process: InProcess, folder: Path, arguments: tuple[str, ...], words: str
) -> None:
    before = tree(folder)
    done = in_process(*arguments)
    assert done.code == 2
    assert words in done.err
    assert_one_sentence(done.err)
    assert tree(folder) == before
    assert not list(Path(os.environ["JOJOSCL_CACHE"]).glob(".*"))


def assert_one_sentence(err: str) -> None:
    assert err.startswith("jojoscl: ")
    assert err.endswith(".\n")
    assert err.count("\n") == 1


@pytest.mark.parametrize("case", CASES)
def test_one_sentence_and_nothing_left(in_process: InProcess, tmp_path: Path, case: str) -> None:
    prepare, arguments, words = CASES[case]
    if prepare:
        prepare(tmp_path)
    assert_refused(in_process, tmp_path, arguments, words)


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (None, "http://127.0.0.1:9/tiny.h5 could not be downloaded"),
        (text("tiny.h5"), "tiny.h5 is not the published file (sha256:0 does not match)"),
    ],
    ids=["offline", "checksum"],
)
def test_dataset_that_cannot_be_had(
    in_process: InProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    prepare: Prepare | None,
    words: str,
) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    variant = Variant(
        (RemoteFile("tiny.h5", "http://127.0.0.1:9/tiny.h5", "sha256:0"),), read_h5, "Y", 30, 20, 3
    )
    monkeypatch.setitem(CATALOG, "tiny", Entry("", "", {"all": variant}))
    if prepare:
        prepare(tmp_path)
    assert_refused(in_process, tmp_path, ("data=yan", "data.name=tiny", "data.root=."), words)


# ---- a folder that holds another run, or a damaged one -------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of SIMULATED."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    run(compose([*SIMULATED, f"paths.cache={folder.parent / 'cache'}"]), folder)
    return folder


def without_metrics(folder: Path) -> None:
    (folder / "metrics.json").unlink()


def checkpoint(content: bytes | dict[str, Any]) -> Prepare:
    def write(folder: Path) -> None:
        without_metrics(folder)
        path = folder / "last.ckpt"
        path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)

    return write


def short_checkpoint(folder: Path) -> None:
    checkpoint((folder / "last.ckpt").read_bytes()[:3000])(folder)


def bare_checkpoint(folder: Path) -> None:
    """With the right settings, and nothing else."""
    state = torch.load(folder / "last.ckpt", weights_only=True)
    checkpoint({"hyper_parameters": state["hyper_parameters"]})(folder)


FOLDERS: dict[str, tuple[Prepare, tuple[str, ...], str]] = {
    "metrics of other settings": (
        lambda folder: None,
        ("seed=5",),
        "run holds a run with other settings",
    ),
    "metrics cut short": (text("metrics.json", '{"ari": 0.'), (), "metrics.json cannot be read"),
    "metrics of another kind": (text("metrics.json", "[1]"), (), "metrics.json cannot be read"),
    "metrics that are no text": (
        lambda folder: (folder / "metrics.json").write_bytes(b"\xff"),
        (),
        "cannot be read",
    ),
    "checkpoint of other settings": (
        without_metrics,
        ("method.momentum=0.25",),
        "(momentum: 0.5 there, 0.25 here)",
    ),
    "checkpoint of another seed": (without_metrics, ("seed=5",), "(seed: 0 there, 5 here)"),
    "checkpoint of other genes": (
        without_metrics,
        ("data.n_genes=40",),
        "(n_genes: 50 there, 40 here)",
    ),
    "checkpoint of other batches": (
        without_metrics,
        ("method.batch_size=9",),
        "(batch_size: 256 there, 9 here)",
    ),
    "checkpoint of other cells": (
        without_metrics,
        ("data.seed=9",),
        "other settings of the data or the",
    ),
    "damaged checkpoint": (
        checkpoint(b"x" * 99),
        (),
        "last.ckpt is not a checkpoint that can be read",
    ),
    "empty checkpoint": (checkpoint(b""), (), "last.ckpt is not a checkpoint that can be read"),
    "checkpoint cut short": (
        short_checkpoint,
        (),
        "last.ckpt is not a checkpoint that can be read",
    ),
    "checkpoint of something else": (
        checkpoint({"x": 1}),
        (),
        "last.ckpt is not a checkpoint that can be read",
    ),
    "checkpoint of nothing else": (
        bare_checkpoint,
        (),
        "last.ckpt is not a checkpoint that can be read",
    ),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_folder_of_another_run_is_left_as_it_is(
    in_process: InProcess, tmp_path: Path, finished: Path, case: str
) -> None:
    prepare, overrides, words = FOLDERS[case]
    shutil.copytree(finished, tmp_path / "run")
    prepare(tmp_path / "run")
    assert_refused(in_process, tmp_path, (*IN_RUN, *overrides), words)


@pytest.mark.parametrize(
    "case", ["metrics of other settings", "metrics cut short", "damaged checkpoint"]
)
def test_force_is_the_way_out_that_the_sentence_names(
    in_process: InProcess, tmp_path: Path, finished: Path, case: str
) -> None:
    prepare, overrides, _ = FOLDERS[case]
    shutil.copytree(finished, tmp_path / "run")
    prepare(tmp_path / "run")
    done = in_process(*IN_RUN, *overrides, "force=true")
    assert (done.code, done.err) == (0, "")
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["n_cells"] == 60


def test_force_with_a_wrong_setting_forgets_nothing(
    in_process: InProcess, tmp_path: Path, finished: Path
) -> None:
    shutil.copytree(finished, tmp_path / "run")
    assert_refused(in_process, tmp_path, (*IN_RUN, "force=true", "n_clusters=many"), "n_clusters")


def test_damaged_cache_is_computed_anew(in_process: InProcess, tmp_path: Path) -> None:
    first = in_process(*IN_RUN, "paths.cache=cache")
    (entry,) = (tmp_path / "cache").iterdir()
    cached = entry / "values.bin"
    good = cached.read_bytes()
    cached.write_bytes(good[:100])
    second = in_process(*IN_RUN, "paths.cache=cache", "force=true")
    assert (first.code, second.code, second.err) == (0, 0, "")
    assert second.out.count("is damaged: computing anew") == 1
    assert cached.read_bytes() == good
    assert list((tmp_path / "cache").iterdir()) == [entry]


# ---- no space ------------------------------------------------------------------------------------


def disk_full(path: Path, *_: Any) -> None:
    """In place of what writes a file: half of it, then the error of the system."""
    with path.open("wb") as file:
        file.write(b"half")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


WRITERS = (
    "labels.csv", "config.yaml", "result.h5ad", "losses.png", "metrics.json", "last.ckpt",
)  # fmt: skip


@pytest.mark.parametrize("name", WRITERS)
def test_no_space_left(
    in_process: InProcess,
    tmp_path: Path,
    finished: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    (tmp_path / "run").mkdir()
    shutil.copy(finished / "labels.csv", tmp_path / "run")
    before = tree(tmp_path / "run")
    write = jojoscl.runner.output.write_whole

    def write_or_fail(path: Path, content: Any) -> None:
        with monkeypatch.context() as patch:
            if path.name == name:
                patch.setattr(Path, "write_bytes", disk_full)
            write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(jojoscl.runner.output, "write_whole", write_or_fail)
        if name == "last.ckpt":
            patch.setattr(L.Trainer, "save_checkpoint", lambda self, path: disk_full(path))
        done = in_process(*IN_RUN, "pictures=true")
    assert done.code == 2
    assert_one_sentence(done.err)
    assert f"No space left to write {tmp_path / 'run' / name}: free some disk" in done.err
    after = tree(tmp_path / "run")
    assert not [path for path in after if Path(path).name.startswith(".")]
    assert "metrics.json" not in after, "the run is not taken for a finished one"
    assert (name in after) is (name in before)
    assert after["labels.csv"] == before["labels.csv"]
    assert in_process(*IN_RUN).code == 0, "with space again, the same command goes on"


def test_files_that_the_system_lets_grow_no_further(in_process: InProcess, tmp_path: Path) -> None:
    """A limit on the size of files stops a write half-way, as a full disk does."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, hard))
    try:
        done = in_process(*SIMULATED, "paths.cache=cache")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert done.code == 2
    assert_one_sentence(done.err)
    assert "No space left to write cache/preprocessed-" in done.err
    assert list(tree(tmp_path)) == ["cache"]


# ---- as a process of its own ---------------------------------------------------------------------


@pytest.mark.parametrize("argument", ["=3", "data=blader", "--sweep"])
def test_sentence_in_a_process_of_its_own(command: Command, tmp_path: Path, argument: str) -> None:
    done = command(argument)
    assert (done.returncode, done.stdout) == (2, "")
    assert_one_sentence(done.stderr)
    assert not list(tmp_path.iterdir())


# ---- from Python ---------------------------------------------------------------------------------


FROM_PYTHON: dict[str, tuple[AnnData, dict[str, Any], str]] = {
    "negative": (with_value((0, 0), -1), {}, "1 values are negative"),
    "NaN": (with_value((0, 0), np.nan), {}, "1 values are NaN"),
    "neither counts nor log": (
        with_value((0, 0), 170.5),
        {},
        "neither whole numbers nor log-normalised",
    ),
    "an empty cell": (with_value((3, slice(None)), 0), {}, "no counts at all"),
    "duplicate barcodes": (renamed(obs_names=["a"] * 30), {}, "name of another"),
    "constant genes": (user_cells(np.ones((30, 20))), {}, "No gene is left that varies"),
    "no such layer": (user_cells(), {"layer": "counts"}, "no layer 'counts'"),
    "one cluster": (user_cells(), {"n_clusters": 1}, "at least 2, not 1"),
    "more clusters than cells": (user_cells(), {"n_clusters": 31}, "there are only 30 cells"),
    "a fraction of a cluster": (
        user_cells(),
        {"n_clusters": 2.5},
        "whole number of at least 2, not 2.5",
    ),
    "clusters in words": (
        user_cells(),
        {"n_clusters": "many"},
        "whole number of at least 2, not 'many'",
    ),
    "negative seed": (
        user_cells(),
        {"seed": -1},
        "seed must be a whole number between 0 and 4294967295, not -1",
    ),
    "seed in words": (user_cells(), {"seed": "zero"}, "seed must be a whole number .* not 'zero'"),
    "unknown setting": (user_cells(), {"n_drws": 2}, "did you mean 'n_draws'"),
    "out of range": (user_cells(), {"view_dims": 0}, "view_dims must be at least 1, not 0"),
    "wrong type": (user_cells(), {"n_draws": "few"}, "n_draws must be int, not 'few'"),
    "unknown accelerator": (user_cells(), {"accelerator": "gpuu"}, "did you mean 'gpu'"),
}


@pytest.mark.filterwarnings("ignore:Observation names are not unique")
@pytest.mark.parametrize("case", FROM_PYTHON)
def test_cluster_refuses_and_changes_nothing(case: str) -> None:
    adata, settings, words = FROM_PYTHON[case]
    before = adata.copy()
    with pytest.raises(UserError, match=words) as error:
        jojoscl.cluster(adata, **{"n_clusters": 3, "n_draws": 1, **settings})
    assert "\n" not in str(error.value)
    np.testing.assert_array_equal(adata.X.toarray(), before.X.toarray())
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    assert not len(adata.obsm)
    assert not len(adata.uns)


def test_cluster_wants_an_anndata() -> None:
    with pytest.raises(
        UserError, match=r"adata must be an AnnData, not ndarray: make one by anndata\.AnnData"
    ):
        jojoscl.cluster(COUNTS, 3)  # type: ignore[arg-type]
