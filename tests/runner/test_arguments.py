"""Arguments before Hydra sees them: file names of every kind, and flags."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from anndata import AnnData

from jojoscl.runner.arguments import check_arguments, quoted
from jojoscl.runner.config import parse
from jojoscl.runner.sweep import collect
from jojoscl.utils.errors import UserError

if TYPE_CHECKING:  # several folders have a conftest
    from conftest import InProcess

NAMES = ("größe.h5ad", "k=1.h5ad", "a b,c.h5ad", "[1] (copy).h5ad", "it's {x}.h5ad", "12",
         'back\\"slash.h5ad', "a:b.h5ad", "50%.h5ad", "null.h5ad", "#1&2.h5ad")  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_hydra_reads_a_path_as_it_was_given(name: str) -> None:
    for key in ("data.path", "+data.metadata", "hydra.run.dir", "++data.root"):
        (override,) = parse([quoted(f"{key}={name}", several=False)])
        assert override.value() == name


def test_home_is_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/her")
    assert quoted("data.path=~/x.h5ad", several=False) == "data.path='/home/her/x.h5ad'"


@pytest.mark.parametrize(
    "argument",
    ["data.path=null", "data.path='a b'", "data.path=${paths.runs}/x", "name=a,b", "seed=1",
     "~data", "data.path=glob(*)", "data.path=", "--cfg"],
)  # fmt: skip
def test_what_is_written_for_hydra_stays(argument: str) -> None:
    assert quoted(argument, several=True) == argument


def test_in_a_sweep_a_comma_stands_between_files_unless_one_has_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (override,) = parse([quoted("data.path=ä.h5ad,b=1.h5ad", several=True)])
    assert list(override.sweep_string_iterator()) == ["'ä.h5ad'", "'b=1.h5ad'"]
    (tmp_path / "a,b.h5ad").write_text("")
    (override,) = parse([quoted("data.path=a,b.h5ad", several=True)])
    assert override.value() == "a,b.h5ad"


def test_a_run_reads_a_file_with_any_name_and_is_called_by_it(
    in_process: InProcess, tmp_path: Path, cells: AnnData
) -> None:
    name = "it's größe k=1, (2).h5ad"
    cells.write_h5ad(tmp_path / name)
    own = ("data=h5ad", f"data.path={name}", "n_clusters=3", "method=random", "pictures=false")
    done = in_process(*own)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("it's größe k=1, (2) random seed 0: ")
    assert list(collect(tmp_path / "runs")["path"]) == [name]


def test_a_flag_that_is_not_there_is_refused_in_a_sentence() -> None:
    with pytest.raises(UserError, match=r"^unrecognized arguments: --sweep: see jojoscl --help\.$"):
        check_arguments(["--sweep", "seed=1"])
