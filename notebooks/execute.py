"""Execute notebooks in place: python notebooks/execute.py notebooks/*.ipynb

What changes from run to run (times, the kernel's version) is not kept.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient


def executed(path: Path) -> nbformat.NotebookNode:
    """The notebook with the outputs of a fresh run in its own folder; a cell that fails raises."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook,
        timeout=1800,  # seconds a cell
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()
    for cell in notebook.cells:  # bars
        if "outputs" in cell:
            cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr"]
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}
    }
    return notebook


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        print(path, flush=True)
        nbformat.write(executed(path), path)
