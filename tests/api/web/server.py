"""A real server for the browser: `python -m tests.api.web.server --data DIR --port N [--candidates 60]`.

Accounts 审核员 zhang, officer li, pilot wang, admin; the password of all is `PASSWORD`.
"""

from __future__ import annotations

import argparse
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from api.app import create_app
from api.auth.service import add_user, issue_token
from api.database import Database, migrate
from api.settings import ApiSettings
from tests.api.web.seed import build_place, file_over_http

PASSWORD = "yunxun-test-2026"
PEOPLE = {"zhang": "reviewer", "chen": "reviewer", "li": "officer", "wang": "pilot", "root": "admin"}


def prepare(settings: ApiSettings) -> str:
    """A migrated database with people; gives an admin's service token."""
    migrate(settings.url)
    database = Database(settings.url)
    with database.write() as session:
        for name, role in PEOPLE.items():
            add_user(session, name, role, PASSWORD)
        token = issue_token(session, "admin", name="conductor")
    database.close()
    return token


@contextmanager
def running(settings: ApiSettings, port: int = 0) -> Iterator[str]:
    """The API over real HTTP on a port of 127.0.0.1; gives its address."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        config = uvicorn.Config(create_app(settings), log_level="warning", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        until = time.monotonic() + 60
        while not server.started and thread.is_alive() and time.monotonic() < until:
            time.sleep(0.02)
        if not server.started:
            raise RuntimeError("the server did not start: see its log")
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=10)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--candidates", type=int, default=60)
    parser.add_argument("--size-m", type=float, default=160.0)
    wanted = parser.parse_args()
    settings = ApiSettings(data_dir=wanted.data)
    fresh = not (wanted.data / "seeded").exists()
    wanted.data.mkdir(parents=True, exist_ok=True)
    token = prepare(settings) if fresh else ""
    with running(settings, wanted.port) as base:
        if fresh:
            place = build_place(wanted.data / "place", wanted.size_m)
            created = file_over_http(base, token, place, wanted.candidates)
            (wanted.data / "token").write_text(token)
            (wanted.data / "seeded").write_text(str(created))
        print(f"ready {base}", flush=True)
        parent = os.getppid()
        while os.getppid() == parent:
            time.sleep(0.5)


if __name__ == "__main__":
    main()
