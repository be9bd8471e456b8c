"""Peak memory of a whole run, pictures included, on 27,499 simulated cells x 2,000 genes, 19 types.

    python benchmarks/peak_memory.py [--epochs 3] [--method jojoscl] [--json FILE]

The cells are as many as Shekhar's. The number of epochs does not change the peak.
"""

from __future__ import annotations

import tempfile

from common import answer, parser, write_json

from jojoscl.runner.machine import machine

CELLS = ("data=simulated", "data.n_cells=27499", "data.n_genes=2000", "data.n_types=19")
# A process of its own prints its peak when it ends, pictures included.
RUN = """
import atexit
from jojoscl.runner.cli import main
from jojoscl.runner.machine import peak_memory_mb
atexit.register(lambda: print(peak_memory_mb()))
main()
"""


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--epochs", type=int, default=3)
    options.add_argument("--method", default="jojoscl")
    arguments = options.parse_args()
    how = [f"method={arguments.method}", "trainer.progress_bar=false"]
    how += [f"trainer.max_epochs={arguments.epochs}"] if arguments.method != "jojoscl" else []
    with tempfile.TemporaryDirectory() as folder:
        peak = answer("-c", RUN, *CELLS, *how, f"paths.runs={folder}/runs") / 1e3
    print(f"peak memory {peak:.2f} GB")
    found = {"machine": machine(), "method": arguments.method, "peak_gb": round(peak, 2)}
    write_json(arguments.json, found)


if __name__ == "__main__":
    main()
