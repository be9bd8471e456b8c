"""How long `import jojoscl; jojoscl.cluster` takes, against `import torch, scanpy`, which it cannot do without.

    python benchmarks/startup.py [--repeats 7] [--json FILE]

Each is timed in processes of its own, in turn, so that both see the same state of the machine;
medians. The first of each fills the disk's cache and does not count.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from jojoscl.utils.files import whole_file

CODE = {"jojoscl_s": "import jojoscl; jojoscl.cluster", "libraries_s": "import torch, scanpy"}
TIMED = "import time; begin = time.perf_counter(); {}; print(time.perf_counter() - begin)"


def seconds(code: str) -> float:
    """Return the seconds that `code` takes in a fresh process, the start of Python aside."""
    done = subprocess.run(
        [sys.executable, "-c", TIMED.format(code)], stdout=subprocess.PIPE, text=True, check=True
    )
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in CODE}
    for _ in range(1 + arguments.repeats):
        for name, code in CODE.items():
            times[name].append(seconds(code))
    found = {name: statistics.median(values[1:]) for name, values in times.items()}
    found["ratio"] = found["jojoscl_s"] / found["libraries_s"]
    print(f"jojoscl {found['jojoscl_s']:.2f} s, torch and scanpy {found['libraries_s']:.2f} s")
    print(f"ratio {found['ratio']:.2f}")
    if arguments.json:
        with whole_file(arguments.json) as path:
            path.write_text(
                json.dumps({name: round(value, 3) for name, value in found.items()}) + "\n"
            )


if __name__ == "__main__":
    main()
