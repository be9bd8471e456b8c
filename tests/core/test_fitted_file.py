"""The file of a fitted model: it predicts as before, and other files are refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jojoscl
from jojoscl.core.fitted import Fitted
from jojoscl.utils.errors import UserError
from tests.small import assert_refused


def test_a_saved_model_predicts_as_before(new, model, path):
    loaded = jojoscl.load(path)
    np.testing.assert_array_equal(loaded.predict(new).embedding, model.predict(new).embedding)
    np.testing.assert_array_equal(loaded.predict(new).labels, model.predict(new).labels)
    np.testing.assert_array_equal(loaded.labels_, model.labels_)
    assert loaded.settings == model.settings
    assert loaded.versions["jojoscl"] == jojoscl.__version__
    assert [file.name for file in path.parent.iterdir()] == ["model.npz"]


def test_a_file_is_replaced_only_by_overwrite(model, path):
    path.write_text("mine")
    with pytest.raises(UserError, match="is there already: give overwrite=True"):
        model.save(path)
    assert path.read_text() == "mine"
    model.save(path, overwrite=True)
    assert jojoscl.load(path).n_clusters == 3


def test_a_damaged_file_is_refused_or_has_changed_nothing(new, model, path):
    content, rng, expected = (
        path.read_bytes(),
        np.random.default_rng(0),
        model.predict(new[:5].copy()).embedding,
    )
    refused = 0
    for i in range(60):
        changed, at = bytearray(content), int(rng.integers(len(content)))
        changed[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed[:at] if i % 3 == 0 else changed)
        try:
            found = jojoscl.load(path).predict(new[:5].copy()).embedding
        except UserError:
            refused += 1
        else:
            np.testing.assert_array_equal(found, expected)
    assert refused > 50


def rewritten(path: Path, **changed: Any) -> None:
    """Write the model again with other arrays, other values in the header, or (None) without."""
    with np.load(path) as file:
        parts = dict(file)
    header = json.loads(parts.pop("header").tobytes())
    for name, value in changed.items():
        (header if name in header else parts)[name] = value
    parts = {name: part for name, part in parts.items() if part is not None}
    np.savez(path, header=np.frombuffer(json.dumps(header).encode(), np.uint8), **parts)


def test_a_file_with_other_parts_is_refused(model, path):
    words = r"model.npz cannot be read \(.*\): it may be damaged"
    for changed in ({"labels_": None}, {"more": np.zeros(3)}):
        model.save(path, overwrite=True)
        rewritten(path, **changed)
        assert_refused(jojoscl.load, (path, words))


def test_an_array_in_fortran_order_is_read_as_what_it_is(new, model, path):
    rewritten(path, loadings=np.asfortranarray(model.loadings))
    found = jojoscl.load(path).predict(new)
    np.testing.assert_array_equal(found.labels, model.predict(new).labels)


def test_another_form_names_the_version_that_reads_it(path):
    rewritten(path, format=99)
    with pytest.raises(
        UserError, match=f"is a model in another form, that of jojoscl {jojoscl.__version__}"
    ):
        jojoscl.load(path)


def test_a_model_of_one_group_is_loaded(model, tmp_path):
    n, parts = len(model.labels_), vars(model)
    of_clusters = {name: parts[name][:1] for name in ("sigma2_", "tau2_", "b_", "stability_")}
    of_cells = dict.fromkeys(("labels_", "groups_"), np.zeros(n, int))
    tree = {"merges_": np.zeros((0, 2), int), "group_sizes_": np.array([n])}
    Fitted(**parts | of_clusters | of_cells | tree).save(tmp_path / "one.npz")
    assert jojoscl.load(tmp_path / "one.npz").n_clusters == 1
