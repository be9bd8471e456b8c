"""What a run is done with: the machine, its memory, the packages, the commit."""

import ctypes
import os
import platform
import subprocess
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path

_PACKAGES = (
    "jojoscl", "torch", "lightning", "numpy", "scipy", "scikit-learn", "scanpy", "anndata",
    "hydra-core",
)  # fmt: skip


def machine() -> str:
    """Return the processor's name, the number of cores, and the operating system."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        name = cpuinfo.read_text().partition("model name\t: ")[2].partition("\n")[0] or name
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"


def peak_memory_mb() -> float | None:
    """Return the most memory this process has held so far, mapped files included, in 10^6 bytes.

    A child's getrusage may give the peak of its parent; Linux's /proc gives its own. None on
    Windows.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return round(int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024 / 1e6, 1)
    with suppress(ModuleNotFoundError):
        import resource  # Unix only

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6, 1)
    return None


def forget_peak_memory() -> None:
    """Forget the peak of earlier runs of a sweep, so that this run's is reported; on Linux only."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # gives back what earlier runs freed
        Path("/proc/self/clear_refs").write_text("5")


def versions() -> dict[str, str]:
    """Return the versions of the packages that decide a result, of torch if it is installed."""
    found = {}
    for name in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def git_commit() -> str | None:
    """Return the commit of the checkout that the package is in, with "+" when it was changed since.

    None where there is no checkout or no git.
    """
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():  # installed, perhaps below a repository of the user's
        return None
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
    with suppress(FileNotFoundError):
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        return done.stdout.strip() or None
    return None
