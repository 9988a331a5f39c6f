"""Children never outlive us: clean stop, restart, and what a kill -9 leaves is found again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from yunxun.errors import YunxunError
from yunxun.processes import ChildSpec, StopRequestedError, Supervisor, kill_marked, marked_processes

SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]
# A child that itself starts a process, as a worker starts its pool.
PARENT_OF_SLEEPER = [
    sys.executable,
    "-c",
    "import subprocess as s, sys, time; s.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); time.sleep(9)",
]


def _spec(name: str, argv: list[str]) -> ChildSpec:
    return ChildSpec(name, argv, dict(os.environ), ready=lambda: True)


def _until(condition: object, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.05)
    return False


def test_a_clean_stop_leaves_nothing_not_even_grandchildren(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path / "run", tmp_path / "log")
    supervisor.start(_spec("worker", PARENT_OF_SLEEPER))
    assert _until(lambda: len(marked_processes(tmp_path / "run")) == 2)
    supervisor.stop()
    assert _until(lambda: marked_processes(tmp_path / "run") == [])


def test_after_kill_9_of_the_parent_the_next_start_finds_what_was_left(tmp_path: Path) -> None:
    script = textwrap.dedent(f"""
        import os, pathlib, time
        from yunxun.processes import ChildSpec, Supervisor
        base = pathlib.Path({str(tmp_path)!r})
        supervisor = Supervisor(base / "run", base / "log")
        supervisor.start(ChildSpec("worker", {PARENT_OF_SLEEPER!r}, dict(os.environ), lambda: True))
        time.sleep(600)
    """)
    parent = subprocess.Popen([sys.executable, "-c", script])
    assert _until(lambda: len(marked_processes(tmp_path / "run")) == 2, 30)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    # The kernel ends the direct child; the grandchild is what a start must find by its mark.
    assert _until(lambda: len(marked_processes(tmp_path / "run")) <= 1)
    kill_marked(tmp_path / "run")
    assert _until(lambda: marked_processes(tmp_path / "run") == [])


def test_a_child_that_dies_is_started_again(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path / "run", tmp_path / "log", restart_pause_s=0.05)
    child = supervisor.start(_spec("worker", SLEEPER))
    restarts: list[tuple[str, int]] = []

    def on_restart(name: str, code: int) -> None:
        restarts.append((name, code))
        supervisor.request_stop()

    os.kill(child.pid, signal.SIGKILL)
    supervisor.watch(on_restart)
    supervisor.stop()
    assert restarts == [("worker", -signal.SIGKILL)]


def test_a_child_that_fails_at_start_is_quoted(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path / "run", tmp_path / "log")
    failing = [sys.executable, "-c", "import sys; print('port 5 in use'); sys.exit(4)"]
    with pytest.raises(YunxunError, match=r"api ended at start with 4: port 5 in use"):
        supervisor.start(ChildSpec("api", failing, dict(os.environ), ready=lambda: False))


def test_a_ctrl_c_while_engines_start_is_not_lost(tmp_path: Path) -> None:
    """It was: a KeyboardInterrupt raised inside a callback whose exceptions Python ignores stopped nothing."""
    supervisor = Supervisor(tmp_path / "run", tmp_path / "log")

    def interrupted() -> bool:
        os.kill(os.getpid(), signal.SIGINT)
        return False

    before = signal.signal(signal.SIGINT, lambda number, frame: supervisor.request_stop())
    try:
        with pytest.raises(StopRequestedError):
            supervisor.start(ChildSpec("api", SLEEPER, dict(os.environ), ready=interrupted))
    finally:
        signal.signal(signal.SIGINT, before)
    assert _until(lambda: marked_processes(tmp_path / "run") == [])
