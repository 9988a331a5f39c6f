"""A real server for the browser: `python -m tests.api.web.server --data DIR --port N [--candidates 60]`.

Accounts 审核员 zhang, officer li, pilot wang, admin; the password of all is `PASSWORD`.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from pathlib import Path

import httpx
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
    server = uvicorn.Server(
        uvicorn.Config(create_app(settings), host="127.0.0.1", port=wanted.port, log_level="warning")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    base = f"http://127.0.0.1:{wanted.port}"
    until = time.monotonic() + 60
    while not server.started and thread.is_alive() and time.monotonic() < until:
        time.sleep(0.05)
    httpx.get(f"{base}/healthz").raise_for_status()
    if fresh:
        place = build_place(wanted.data / "place", wanted.size_m)
        created = file_over_http(base, token, place, wanted.candidates)
        (wanted.data / "token").write_text(token)
        (wanted.data / "seeded").write_text(str(created))
    print(f"ready {base}", flush=True)
    parent = os.getppid()
    while thread.is_alive() and os.getppid() == parent:
        time.sleep(0.5)


if __name__ == "__main__":
    main()
