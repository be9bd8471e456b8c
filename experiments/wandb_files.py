"""The offline files of W&B, read without its server: what ``logger=wandb`` mirrored is what the run itself says."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from jojoscl.runner.sweep import collect

_BLOCK, _HEADER = 32768, 7  # bytes


def records(path: Path) -> Iterator[Any]:
    """Yield what an offline run wrote: LevelDB's log format, blocks of 32 KiB of chunks (checksum, length, type)."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, record = path.read_bytes(), _HEADER, b""  # W&B's own header
    while at + _HEADER <= len(data):
        if _BLOCK - at % _BLOCK < _HEADER:
            at += _BLOCK - at % _BLOCK
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        record += data[at + _HEADER : at + _HEADER + length]
        at += _HEADER + length
        if kind in (1, 4):  # full, or the last of several
            yield Record.FromString(record)
            record = b""


def nested(items: Iterable[Any]) -> dict[str, Any]:
    """Return items of a record, keys as paths, as one dictionary."""
    out: dict[str, Any] = {}
    for item in items:
        *path, last = item.nested_key or [item.key]
        node = out
        for key in path:
            node = node.setdefault(key, {})
        node[last] = json.loads(item.value_json)
    return out


def summary(found: Iterable[Any]) -> dict[str, Any]:
    """Return what the records of a run say at its end."""
    out: dict[str, Any] = {}
    for record in found:
        if record.WhichOneof("record_type") == "summary":
            out |= nested(record.summary.update)
    return out


def collect_wandb(folder: Path) -> pd.DataFrame:
    """Return what :func:`~jojoscl.runner.sweep.collect` does, from the offline files below `folder` alone.

    A run that was done again counts once, as it was last; one without results is left out.
    """
    ended = {}
    for path in sorted(
        folder.rglob("offline-run-*/*.wandb")
    ):  # the folder's name begins with the time
        if "config_hash" in (metrics := summary(records(path))):
            ended[path.parents[2], path.name] = metrics
    with TemporaryDirectory() as kept:
        for number, metrics in enumerate(ended.values()):
            path = Path(kept) / f"{number:06}" / "metrics.json"
            path.parent.mkdir()
            path.write_text(json.dumps(metrics))
        return collect(Path(kept))
