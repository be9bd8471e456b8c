"""The file of a model: an npz of arrays, and a JSON text of all else."""

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jojoscl.utils.errors import UserError
from jojoscl.utils.files import whole_file

FORMAT = 3
HEADER = "header"


def write_parts(
    path: str | os.PathLike[str], parts: Mapping[str, object], *, overwrite: bool
) -> None:
    """Write parts by name to a file, which appears whole or not at all."""
    target = model_path(path)
    arrays = {name: part for name, part in parts.items() if isinstance(part, np.ndarray)}
    header = {name: part for name, part in parts.items() if name not in arrays}
    text = np.frombuffer(json.dumps({"format": FORMAT} | header).encode(), np.uint8)
    with whole_file(target) as temporary:
        if target.exists() and not overwrite:
            raise UserError(f"{target} is there already: give overwrite=True, or another path.")
        with temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **{HEADER: text}, **arrays)


def read_parts(source: Path) -> dict[str, Any]:
    """Read the parts of a file, which may be a stranger's: nothing in it is run."""
    with zipfile.ZipFile(source) as archive:
        if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
            raise ValueError("it is compressed, and no model is")
    try:
        with np.load(source, allow_pickle=False) as file:
            parts: dict[str, Any] = dict(file)
    except MemoryError as error:
        raise ValueError("it declares more than is in it") from error
    if HEADER not in parts:
        raise ValueError("it is no model of jojoscl")
    header = json.loads(parts.pop(HEADER).tobytes())
    if header.pop("format") != FORMAT:
        made_by = f"jojoscl {header['versions']['jojoscl']}"
        raise UserError(
            f"{source} is a model in another form, that of {made_by}: load it by that "
            "version, or fit again."
        )
    return header | parts


def model_path(path: object) -> Path:
    """Return the path of a model's file; what is no path is a :class:`UserError`."""
    if not isinstance(path, str | os.PathLike) or not str(path):
        raise UserError(f"The path of a model must be a name such as 'model.npz', not {path!r}.")
    return Path(path)
