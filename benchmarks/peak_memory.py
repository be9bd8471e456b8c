"""Peak memory of a whole run, pictures included, on simulated cells of Shekhar's size (27,499 x 2,000, 19 types).

    python benchmarks/peak_memory.py [--epochs 3] [--method jojoscl] [--json FILE]

The number of epochs does not change the peak.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from jojoscl.utils.files import whole_file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--method", default="jojoscl")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = [
            f"method={arguments.method}",
            "data=simulated",
            "data.n_cells=27499",
            "data.n_genes=2000",
            "data.n_types=19",
        ]
        where = [f"paths.runs={folder}/runs", f"paths.cache={folder}/cache"]
        command = [
            sys.executable,
            "-c",
            "from jojoscl.runner.cli import main; main()",
            *data,
            *where,
        ]
        subprocess.run(
            [*command, f"trainer.max_epochs={arguments.epochs}", "trainer.progress_bar=false"],
            check=True,
        )
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )
    print(f"peak memory {peak / 1e9:.2f} GB")
    if arguments.json:
        with whole_file(arguments.json) as path:
            path.write_text(
                json.dumps({"method": arguments.method, "peak_gb": round(peak / 1e9, 2)}) + "\n"
            )


if __name__ == "__main__":
    main()
