"""How long `import jojoscl; jojoscl.cluster` takes, against that of the libraries it needs.

    python benchmarks/startup.py [--repeats 7] [--json FILE]

Each is timed in processes of its own, in turn, so that both see the same state of the machine;
medians. The first of each fills the disk's cache and does not count.
"""

from __future__ import annotations

import statistics

from common import answer, parser, write_json

CODE = {"jojoscl_s": "import jojoscl; jojoscl.cluster", "libraries_s": "import torch, scanpy"}
TIMED = "import time; begin = time.perf_counter(); {}; print(time.perf_counter() - begin)"


def seconds(code: str) -> float:
    """Return the seconds that `code` takes in a fresh process, the start of Python aside."""
    return answer("-c", TIMED.format(code))


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--repeats", type=int, default=7)
    arguments = options.parse_args()
    times: dict[str, list[float]] = {name: [] for name in CODE}
    for _ in range(1 + arguments.repeats):
        for name, code in CODE.items():
            times[name].append(seconds(code))
    found = {name: statistics.median(values[1:]) for name, values in times.items()}
    found["ratio"] = found["jojoscl_s"] / found["libraries_s"]
    print(f"jojoscl {found['jojoscl_s']:.2f} s, torch and scanpy {found['libraries_s']:.2f} s")
    print(f"ratio {found['ratio']:.2f}")
    write_json(arguments.json, {name: round(value, 3) for name, value in found.items()})


if __name__ == "__main__":
    main()
