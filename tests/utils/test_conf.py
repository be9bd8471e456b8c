"""The folder of the YAML files."""

from __future__ import annotations

from jojoscl.utils.conf import choices, conf_dir


def test_the_folder_is_there_and_lists_its_choices() -> None:
    assert (conf_dir() / "train.yaml").exists()
    assert {"jojoscl", "leiden"} <= set(choices("method"))
    assert choices("no such group") == []
