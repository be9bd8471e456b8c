"""Peak memory of a whole run, pictures included, on simulated cells of Shekhar's size (27,499 x 2,000, 19 types).

    python benchmarks/peak_memory.py [--epochs 3] [--method jojoscl] [--json FILE]

The number of epochs does not change the peak.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from jojoscl.runner.machine import machine
from jojoscl.utils.files import whole_file

CELLS = ("data=simulated", "data.n_cells=27499", "data.n_genes=2000", "data.n_types=19")
# A process of its own prints its peak when it ends, pictures included.
RUN = """
import atexit, sys
from jojoscl.runner.cli import main
from jojoscl.runner.machine import peak_memory_mb
atexit.register(lambda: print(peak_memory_mb(), file=sys.stderr))
main()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--method", default="jojoscl")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        how = [
            f"method={arguments.method}",
            f"paths.runs={folder}/runs",
            "trainer.progress_bar=false",
        ]
        how += [f"trainer.max_epochs={arguments.epochs}"] if arguments.method != "jojoscl" else []
        command = [sys.executable, "-c", RUN, *CELLS, *how]
        done = subprocess.run(command, check=True, stderr=subprocess.PIPE, text=True)
    peak = float(done.stderr.splitlines()[-1]) / 1e3
    print(f"peak memory {peak:.2f} GB")
    if arguments.json:
        found = {"machine": machine(), "method": arguments.method, "peak_gb": round(peak, 2)}
        with whole_file(arguments.json) as path:
            path.write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
