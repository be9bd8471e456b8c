"""The catalogue agrees with itself and with the configuration, and names the nearest valid choice."""

import re
from pathlib import Path

import pytest

from jojoscl.data import CATALOG, CatalogDataset, FileDataset, SimulatedDataset, load_dataset
from jojoscl.data.catalog import ALIASES, find
from jojoscl.data.datasets import FolderDataset
from jojoscl.data.io.download import data_root
from jojoscl.runner.config import compose
from jojoscl.runner.registry import build
from jojoscl.utils.errors import UserError

CONF = Path(__file__).parents[2] / "conf"
FILES = [
    (name, variant, file)
    for name, entry in CATALOG.items()
    for variant, chosen in entry.variants.items()
    for file in chosen.files
]
OWN = {"simulated": SimulatedDataset, "h5ad": FileDataset, "folder": FolderDataset}


def test_the_ten_datasets_of_the_paper_and_two_more():
    paper = {
        "adam",
        "bladder",
        "chen",
        "human_brain",
        "klein",
        "macosko",
        "baron_mouse",
        "shekhar",
        "yan",
        "pbmc_10x",
    }
    assert set(CATALOG) == paper | {"worm_neuron", "pbmc68k_reduced"}


@pytest.mark.parametrize(("name", "variant", "file"), FILES, ids=lambda value: getattr(value, "name", value))
def test_every_file_is_pinned(name, variant, file):
    assert file.url.startswith("https://")
    assert " " not in file.url
    if name == "chen":
        assert file.checksum is None
        assert "publishes no checksum" in CATALOG[name].doubt
    else:
        assert re.search(r"/[0-9a-f]{40}/", file.url), "a raw GitHub address names its commit"
        assert re.fullmatch(r"sha256:[0-9a-f]{64}|git:[0-9a-f]{40}", file.checksum)


def test_one_file_name_means_one_content():
    seen = {}
    for _, _, file in FILES:
        assert seen.setdefault(file.name, file) == file


@pytest.mark.parametrize("path", sorted((CONF / "data").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_builds_its_dataset_and_changes_no_more_than_needed(path):
    dataset = build(compose([f"data={path.stem}"]).data)
    kind = OWN.get(path.stem, CatalogDataset)
    variant = {"variant": "select_2100"} if path.stem == "bladder_2100" else {}
    name = path.stem.removesuffix("_2100")
    assert dataset == kind(name=name, **variant)
    assert name in OWN or name in CATALOG


def test_root_follows_the_variable(monkeypatch):
    monkeypatch.setenv("JOJOSCL_DATA_ROOT", "/somewhere")
    assert data_root(CatalogDataset(name="yan").root) == Path("/somewhere")


def test_first_variant_is_the_default():
    assert find("bladder")[2] == "top2000"
    assert find("human_brain")[2] == "no_hybrids"
    assert find("bladder", "select_2100")[2] == "select_2100"


def test_mouse_is_baron_mouse():
    assert ALIASES == {"mouse": "baron_mouse"}
    assert find("mouse")[0] == "baron_mouse"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"name": "blader"}, "did you mean 'bladder'"),
        ({"name": "nothing like it"}, "there are: adam"),
        ({"name": "bladder", "variant": "select_210"}, "did you mean 'select_2100'"),
        ({"name": "yan", "root": 3}, "root must be str or Path or null"),
    ],
)
def test_wrong_choices(settings, words):
    with pytest.raises(UserError, match=words):
        CatalogDataset(**settings)


def test_embedded_dataset_needs_no_file(tmp_path):
    adata = load_dataset("pbmc68k_reduced", root=tmp_path)
    assert adata.shape == (700, 765)
    names = {"name": "pbmc68k_reduced", "variant": "raw"}
    assert adata.uns == {"kind": "log1p", "kind_decided_by": "catalogue", **names}
    assert len(adata.obs["cell_type"].cat.categories) == 10
    assert list(adata.obs) == ["cell_type"]
    assert adata.X.dtype == "float32"
    assert adata.X.format == "csr"
    assert not list(tmp_path.iterdir())
