"""Child processes that never outlive us: stopped cleanly, or killed by the kernel or at the next start."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from yunxun.errors import YunxunError

_PR_SET_PDEATHSIG = 1
_MARK = "YUNXUN_CHILD"
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    """In the child before exec: its own process group, and SIGKILL when the thread that started it dies."""
    os.setpgid(0, 0)
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def marked_processes(run_dir: Path, name: str | None = None) -> list[int]:
    """Living processes that carry our mark in their environment: children, and whatever those started.

    The mark is inherited, so a pool worker that outlived a killed child is found too. Linux only (/proc).
    """
    wanted = f"{_MARK}={run_dir.resolve()}/{name or ''}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            for variable in entry.read_bytes().split(b"\0"):
                if variable.startswith(wanted) if name is None else variable == wanted:
                    found.append(int(entry.parent.name))
                    break
    return found


@dataclass(frozen=True)
class ChildSpec:
    """How to start one child and how to see that it is ready."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    ready: Callable[[], bool]
    ready_s: float = 30.0


class Child:
    """One running child, marked in its environment so that a later start finds what a kill -9 left."""

    def __init__(self, spec: ChildSpec, run_dir: Path, log: Path) -> None:
        self.spec = spec
        self._run_dir = run_dir
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as out:
            # The kernel signals when the *thread* that forked dies: start children from the main thread only.
            self._process = subprocess.Popen(
                list(spec.argv),
                env={**spec.env, _MARK: f"{run_dir.resolve()}/{spec.name}"},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                preexec_fn=_die_with_parent,
            )
        self._log = log

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def wait_ready(self, stopping: Callable[[], bool] = lambda: False) -> None:
        """Waits until the child answers.

        Raises:
            YunxunError: It ended or did not answer in time; the last line of its log is quoted.
            StopRequestedError: `stopping` says so first.
        """
        deadline = time.monotonic() + self.spec.ready_s
        while time.monotonic() < deadline:
            if stopping():
                raise StopRequestedError
            if self.exit_code() is not None:
                raise YunxunError(f"{self.spec.name} ended at start with {self.exit_code()}: {self._last_words()}")
            if self.spec.ready():
                return
            time.sleep(0.05)
        raise YunxunError(f"{self.spec.name} did not answer within {self.spec.ready_s:.0f} s; see {self._log}")

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            lines = self._log.read_text("utf-8", errors="replace").strip().splitlines()
            if lines:
                return f"{lines[-1][:300]} (log: {self._log})"
        return f"no output (log: {self._log})"

    def stop(self, grace_s: float = 10.0) -> None:
        """SIGTERM to its group, SIGKILL after `grace_s` to it and to all that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(grace_s)
        kill_marked(self._run_dir, self.spec.name)
        self._process.wait(5)


def kill_marked(run_dir: Path, name: str | None = None) -> int:
    """SIGKILL to what `marked_processes` finds; returns how many. At the start of `serve`: what an earlier one left."""
    pids = [pid for pid in marked_processes(run_dir, name) if pid != os.getpid()]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return len(pids)


class StopRequestedError(Exception):
    """Somebody asked for the end while children were still being started."""


class Supervisor:
    """Starts children in order, restarts one that dies, stops them all in reverse order."""

    def __init__(self, run_dir: Path, log_dir: Path, restart_pause_s: float = 1.0) -> None:
        self._run_dir = run_dir
        self._log_dir = log_dir
        self._pause_s = restart_pause_s
        self._children: list[Child] = []
        # A plain flag: a signal's handler runs in the thread that waits, and an Event's lock may be held there.
        self._stopping = False

    def start(self, spec: ChildSpec) -> Child:
        """Starts a child and waits until it is ready; on failure the others are stopped too.

        Raises:
            StopRequestedError: `request_stop` came first; what was started is stopped.
        """
        child = Child(spec, self._run_dir, self._log_dir / f"{spec.name}.log")
        self._children.append(child)
        try:
            child.wait_ready(lambda: self._stopping)
        except BaseException:
            self.stop()
            raise
        return child

    def request_stop(self) -> None:
        """Ends `start` and `watch` (safe in a signal handler)."""
        self._stopping = True

    def watch(self, on_restart: Callable[[str, int], None]) -> None:
        """Blocks until `request_stop`; a child that ends is started again after a pause."""
        while not self._pause(0.2):
            for place, child in enumerate(self._children):
                code = child.exit_code()
                if code is None:
                    continue
                on_restart(child.spec.name, code)
                child.stop(0.0)
                if self._pause(self._pause_s):
                    return
                self._children[place] = Child(child.spec, self._run_dir, self._log_dir / f"{child.spec.name}.log")

    def _pause(self, seconds: float) -> bool:
        """Waits so long, or until a stop is asked for; says whether it was."""
        deadline = time.monotonic() + seconds
        while not self._stopping and time.monotonic() < deadline:
            time.sleep(min(0.2, seconds))
        return self._stopping

    def stop(self) -> None:
        """Stops all, last started first."""
        self._stopping = True
        while self._children:
            self._children.pop().stop()
