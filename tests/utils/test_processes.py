"""Children that end with their parent, and what SIGTERM and Ctrl-C do to a command."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from anndata import AnnData

import jojoscl
from jojoscl.networks.callbacks import History
from jojoscl.utils.processes import interrupted, interruptible, live_with_parent

PARENT = """
import multiprocessing, os, time
from jojoscl.utils.processes import live_with_parent

def child():
    live_with_parent()
    os.write(1, f"{os.getpid()}\\n".encode())  # one call: lines of two children do not mix
    time.sleep(600)

if __name__ == "__main__":
    for _ in range(2):
        multiprocessing.get_context("spawn").Process(target=child).start()
    time.sleep(600)
"""


def alive(pid: int) -> bool:
    """Whether the process is there, and more than a record of its end."""
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="Linux only")
def test_children_end_when_only_their_parent_is_killed(tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    command = [sys.executable, str(tmp_path / "parent.py")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as parent:
        assert parent.stdout
        children = [int(parent.stdout.readline()) for _ in range(2)]
        assert all(map(alive, children))
        parent.kill()
        parent.wait()
        deadline = time.monotonic() + 60
        while any(map(alive, children)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not any(map(alive, children))


def test_a_process_that_nobody_started_is_left_alone() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    live_with_parent()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_raises_keyboard_interrupt_and_tells_its_code(
    number: signal.Signals, code: int
) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), interruptible():
        signal.raise_signal(number)
    assert interrupted() == code
    assert signal.getsignal(number) == before


def test_ctrl_c_in_a_call_from_python_is_keyboard_interrupt(
    cells: AnnData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        History, "on_train_epoch_end", lambda *_: signal.raise_signal(signal.SIGINT)
    )
    with pytest.raises(KeyboardInterrupt):
        jojoscl.cluster(cells, 3, method=jojoscl.PaperJojoSCL(epochs=1))
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    assert "jojoscl" not in cells.obs
