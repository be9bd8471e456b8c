"""Peak memory of a process."""

import resource
import sys
from pathlib import Path


def peak_memory() -> float:
    """Return the most memory of this process in MB, files that it maps included.

    Of a child getrusage may tell the parent's, which Linux does not do in /proc.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
            1e6 if sys.platform == "darwin" else 1e3
        )
    return int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
