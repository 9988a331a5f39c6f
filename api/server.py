"""The API in several processes on one port: `python -m api.server APP --port N --workers N`.

Workers that share one listening socket take connections as they wake, and the first to wake takes all that come at
once: sixteen connections of a client were measured to land on one of two workers. Here each worker listens with a
socket of its own (SO_REUSEPORT), and the kernel deals connections out. For PostgreSQL; SQLite has one writer anyway.
"""

from __future__ import annotations

import argparse
import gc
import signal
import socket
import subprocess
import sys
import time
from types import FrameType

import uvicorn


def listen(host: str, port: int) -> socket.socket:
    """A socket that other workers may listen beside."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind((host, port))
    return made


def work(app: str, host: str, port: int, *, factory: bool) -> None:
    """One worker, until SIGTERM."""
    # What is imported stays: collecting garbage among it thousands of times costs a tenth of the time.
    gc.set_threshold(50_000, 20, 20)
    config = uvicorn.Config(app, factory=factory, log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[listen(host, port)])


def supervise(command: list[str], workers: int) -> int:
    """Starts the workers, starts again what dies, and ends them all on SIGTERM or SIGINT."""
    stopping = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    children = [subprocess.Popen(command) for _ in range(workers)]
    while not stopping:
        time.sleep(0.2)
        for i, child in enumerate(children):
            if child.poll() is not None and not stopping:
                # Not in a tight loop: a fault at the start would come at once again.
                time.sleep(1.0)
                children[i] = subprocess.Popen(command)
    for child in children:
        child.terminate()
    for child in children:
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
    return 0


def main() -> int:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("app", help="module:attribute")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--factory", action="store_true", help="the attribute is a function that makes the app")
    given = parser.parse_args()
    if given.workers > 1:
        command = [sys.executable, "-m", "api.server", given.app, "--host", given.host, "--port", str(given.port)]
        return supervise([*command, *(["--factory"] if given.factory else [])], given.workers)
    work(given.app, given.host, given.port, factory=given.factory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
