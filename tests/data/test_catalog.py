"""The catalogue agrees with itself and with the configuration, and names the nearest valid choice."""

import dataclasses
import re
from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from jojoscl.data import CATALOG, CatalogDataset, FileDataset, Preprocess, SimulatedDataset, load_dataset
from jojoscl.data.catalog import ALIASES, find
from jojoscl.utils.errors import UserError

CONF = Path(__file__).parents[2] / "conf"
FILES = [
    (name, variant, file)
    for name, entry in CATALOG.items()
    for variant, chosen in entry.variants.items()
    for file in chosen.files
]
OWN = {"simulated": SimulatedDataset, "h5ad": FileDataset}


def settings_of(path):
    return {key: value for key, value in OmegaConf.load(path).items() if key != "_target_"}


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


@pytest.mark.parametrize("name", CATALOG)
def test_config_of_a_catalogue_set(name, monkeypatch):
    monkeypatch.delenv("JOJOSCL_DATA_ROOT", raising=False)
    config = OmegaConf.load(CONF / "data" / f"{name}.yaml")
    assert config["_target_"] == "jojoscl.data.CatalogDataset"
    assert settings_of(CONF / "data" / f"{name}.yaml") == dataclasses.asdict(CatalogDataset(name=name))


@pytest.mark.parametrize("name", OWN)
def test_config_of_other_sets(name):
    assert settings_of(CONF / "data" / f"{name}.yaml") == dataclasses.asdict(OWN[name]())


@pytest.mark.parametrize("path", sorted((CONF / "data").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_builds_its_dataset(path, monkeypatch):
    monkeypatch.delenv("JOJOSCL_DATA_ROOT", raising=False)
    dataset = instantiate(OmegaConf.load(path), _convert_="all")
    assert isinstance(dataset, OWN.get(path.stem, CatalogDataset))
    assert path.stem.startswith(dataset.name)  # bladder_2100 is a variant of bladder


def test_config_root_follows_the_variable(monkeypatch):
    monkeypatch.setenv("JOJOSCL_DATA_ROOT", "/somewhere")
    assert OmegaConf.load(CONF / "data" / "yan.yaml").root == "/somewhere"


def test_released_preprocessing_is_the_default():
    assert settings_of(CONF / "preprocess" / "released.yaml") == dataclasses.asdict(Preprocess())


def test_scanpy_preprocessing_differs_where_its_tutorials_do():
    scanpy = Preprocess(**settings_of(CONF / "preprocess" / "scanpy.yaml"))
    assert scanpy == dataclasses.replace(Preprocess(), min_cells=3, target_sum=1e4, max_value=10.0)


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
    assert adata.uns == {"kind": "log1p", "name": "pbmc68k_reduced", "variant": "raw"}
    assert len(adata.obs["cell_type"].cat.categories) == 10
    assert list(adata.obs) == ["cell_type"]
    assert adata.X.dtype == "float32"
    assert adata.X.format == "csr"
    assert not list(tmp_path.iterdir())
