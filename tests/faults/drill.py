"""Starting, killing and asking real processes, and what must hold after every drill."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from api.auth.service import issue_token
from api.database import Database, migrate
from api.feed.service import chain_hash
from api.settings import ApiSettings
from tests.api.world import feature, square

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def wait_for(what: str, check: Callable[[], Any], seconds: float = 240.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            found = check()
        except (httpx.HTTPError, OSError):
            found = None
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come within {seconds} s")


@dataclass
class Drill:
    """One installation whose processes are killed."""

    folder: Path
    url: str = ""
    broker: str = ""
    port: int = field(default_factory=free_port)
    zygote: subprocess.Popen[str] | None = None
    api_pid: int = 0
    others: list[subprocess.Popen[bytes]] = field(default_factory=list)
    tokens: dict[str, str] = field(default_factory=dict)
    accepted: dict[str, dict[str, Any]] = field(default_factory=dict)

    def prepare(self) -> Drill:
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = ApiSettings(data_dir=self.folder, database_url=self.url)
        self.url = settings.url
        migrate(settings.url)
        database = Database(settings.url)
        with database.write() as session:
            for role in ("pilot", "officer", "platform", "reviewer"):
                self.tokens[role] = issue_token(session, role, name=role)
        database.close()
        return self

    def environment(self, **more: str) -> dict[str, str]:
        return {
            **os.environ, "DRILL_DATA": str(self.folder), "DRILL_URL": self.url, "DRILL_BROKER": self.broker,
            "DRILL_PORT": str(self.port), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more,
        }  # fmt: skip

    def start_api(self) -> None:
        if self.zygote is None:
            command = [sys.executable, "-m", "tests.faults.server"]
            pipe = subprocess.PIPE
            self.zygote = subprocess.Popen(
                command, cwd=ROOT, env=self.environment(), stdin=pipe, stdout=pipe, text=True
            )
        assert self.zygote.stdin is not None and self.zygote.stdout is not None
        self.zygote.stdin.write("start\n")
        self.zygote.stdin.flush()
        self.api_pid = int(self.zygote.stdout.readline())
        wait_for("the API", lambda: httpx.get(f"{self.base}/readyz", timeout=5).status_code == 200)

    def kill_api(self) -> None:
        os.kill(self.api_pid, signal.SIGKILL)
        wait_for("the API's end", lambda: not Path(f"/proc/{self.api_pid}").exists())
        self.api_pid = 0

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def call(self, role: str, method: str, path: str, **kwargs: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.tokens[role]}", **kwargs.pop("headers", {})}
        return httpx.request(method, f"{self.base}/api/v1{path}", headers=headers, timeout=60, **kwargs)

    def file(self, patrol: str, n: int, east_m: float, *, until: Callable[[], bool] = lambda: False) -> bool:
        """Files one candidate as `yunxun file` does: the same key again until it is answered."""
        body = feature(patrol, n, square(east_m=east_m))
        while not until():
            try:
                answer = self.call("pilot", "POST", "/sites", json=body, headers={"Idempotency-Key": f"{patrol}/{n}"})
            except httpx.HTTPError:
                time.sleep(0.05)
                continue
            if answer.status_code in (200, 201):
                self.accepted[f"{patrol}/{n}"] = answer.json()["taken"][0]
                return True
            assert answer.status_code in (409, 503), answer.text
            time.sleep(0.05)
        return False

    def filers(self, patrol: str, count: int, threads: int, stop: threading.Event) -> list[threading.Thread]:
        """Threads that file `count` candidates each, whatever happens to the server meanwhile."""

        def run(which: int) -> None:
            for n in range(count):
                if not self.file(f"{patrol}{which}", n, 100.0 * n + 5000.0 * which, until=stop.is_set):
                    return

        made = [threading.Thread(target=run, args=(which,)) for which in range(threads)]
        for thread in made:
            thread.start()
        return made

    def replay(self, role: str = "officer", limit: int = 500) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        while True:
            params = {"limit": limit, **({"lastEventId": events[-1]["id"]} if events else {})}
            answer = self.call(role, "GET", "/feed", params=params)
            assert answer.status_code == 200, answer.text
            if not answer.json():
                return events
            events += answer.json()

    def stop(self) -> None:
        if self.api_pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.api_pid, signal.SIGKILL)
        for process in [*self.others, *([self.zygote] if self.zygote else [])]:
            if process.poll() is None:
                process.kill()
                process.wait(20)


def key_of(event_id: str) -> tuple[int, ...]:
    return tuple(int(part) for part in event_id.split("-"))


def check_feed(events: list[dict[str, Any]], accepted: dict[str, Any]) -> None:
    """Every accepted filing is in the feed, no id twice, in order, and every chain holds."""
    ids = [event["id"] for event in events]
    assert len(set(ids)) == len(ids), "an event id twice"
    assert [key_of(one) for one in ids] == sorted(key_of(one) for one in ids), "out of order"
    created = [event["subject"] for event in events if event["type"] == "candidate.created"]
    assert len(set(created)) == len(created), "a candidate was created twice"
    missing = set(accepted) - set(created)
    assert not missing, f"accepted and not in the feed: {sorted(missing)[:5]}"
    check_chains(events)


def check_chains(events: list[dict[str, Any]]) -> None:
    from datetime import datetime

    heads: dict[str, tuple[int, str]] = {}
    for event in events:
        number, head = heads.get(event["subject"], (0, "0" * 64))
        assert event["chainn"] == number + 1, f"a hole in the chain of {event['subject']}"
        assert event["prevhash"] == head, f"the chain of {event['subject']} does not join"
        data = json.dumps(event["data"], ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        digest = chain_hash(
            bytes.fromhex(head), type=event["type"], subject=event["subject"], chain_n=event["chainn"],
            time=datetime.fromisoformat(event["time"]), actor=event["actor"], data=data,
        )  # fmt: skip
        assert digest.hex() == event["hash"], f"event {event['id']} does not hash to what it says"
        heads[event["subject"]] = (event["chainn"], event["hash"])


class LiveReader(threading.Thread):
    """Reads the feed by long poll while all the killing goes on; what it saw must equal a replay."""

    def __init__(self, drill: Drill) -> None:
        super().__init__(daemon=True)
        self._drill = drill
        self._stop_asked = threading.Event()
        self.events: list[dict[str, Any]] = []

    def run(self) -> None:
        while not self._stop_asked.is_set():
            params = {"limit": 37, "timeout": 300, **({"lastEventId": self.events[-1]["id"]} if self.events else {})}
            try:
                answer = self._drill.call("officer", "GET", "/feed", params=params)
            except httpx.HTTPError:
                time.sleep(0.05)
                continue
            if answer.status_code == 200:
                self.events += answer.json()
            else:
                time.sleep(0.05)

    def finish(self, replay: list[dict[str, Any]]) -> None:
        wait_for("the live reader", lambda: len(self.events) >= len(replay), 60)
        self._stop_asked.set()
        self.join(20)
        assert self.events == replay, "a replay differs from what was read live"


def consumed(database: Path) -> list[str]:
    with sqlite3.connect(database) as connection:
        return [row[0] for row in connection.execute("SELECT id FROM events ORDER BY n")]
