"""What README says of the choices is what ships."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from jojoscl.runner.config import conf_dir

README = (Path(__file__).parents[1] / "README.md").read_text()


@pytest.mark.parametrize("path", sorted((conf_dir() / "method").glob("*.yaml")), ids=lambda path: path.stem)
def test_method_table(path: Path) -> None:
    settings = OmegaConf.load(path)
    about = settings.get("method", settings).about
    rows = re.findall(rf"^\| `{path.stem}` \| (.*?) \| .* \| (told|finds) \| (.*) \|$", README, re.M)
    assert rows == [(about.summary, "told" if about.told_k else "finds", str(about.minutes))]


def test_results_name_no_file_that_is_not_there() -> None:
    for name in re.findall(r"`((?:src|experiments|benchmarks)/[\w/.]+\.\w+)`", README):
        assert (Path(__file__).parents[1] / name).exists(), name
