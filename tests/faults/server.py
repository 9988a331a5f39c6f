"""The API as a process of its own, for drills that kill it.

This process imports once and then forks a server for every line that it reads, saying its pid: a drill kills fifty of
them and does not pay for fifty starts of Python.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import uvicorn

from api.app import create_app
from api.settings import ApiSettings


def serve() -> None:
    settings = ApiSettings(
        data_dir=Path(os.environ["DRILL_DATA"]),
        database_url=os.environ.get("DRILL_URL", ""),
        broker_url=os.environ.get("DRILL_BROKER", ""),
    )
    uvicorn.run(create_app(settings), host="127.0.0.1", port=int(os.environ["DRILL_PORT"]), log_level="error")


def main() -> None:
    # Killed children are reaped by the kernel.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            serve()
            os._exit(0)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
