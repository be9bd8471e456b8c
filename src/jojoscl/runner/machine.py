"""The machine that a run is on, and the memory that it took."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path


def machine() -> str:
    """Return the processor's name, the number of cores, and the operating system."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        name = cpuinfo.read_text().partition("model name\t: ")[2].partition("\n")[0] or name
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"


def peak_memory_mb() -> float:
    """Return the most memory this process has held so far, mapped files included, in 10^6 bytes.

    A child's getrusage may give the peak of its parent; Linux's /proc gives its own.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return round(int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024 / 1e6, 1)
    import resource  # Unix only

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6, 1)
