"""A consumer of the feed that survives kill -9, restarts of either side, and replays.

    python docs/examples/consumer.py --api http://127.0.0.1:8000 --token-file token --database mine.sqlite

It keeps what it took and how far it came in one transaction of its own database: whatever happens, each event is
applied once, in order. Only the standard library and httpx are needed. Three rules make it safe:

1. the position is the id of the last event that was *committed here*, never of the last one received;
2. an id seen before is skipped (delivery is at least once);
3. 410 means that the position is older than the feed keeps: list the cases once, then go on from `resync_from`.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

SCHEMA = """
CREATE TABLE IF NOT EXISTS position (one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS events (
  n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE, type TEXT, subject TEXT, event TEXT
);
CREATE TABLE IF NOT EXISTS cases (id TEXT PRIMARY KEY, number TEXT, state TEXT, form TEXT);
"""


class Consumer:
    """Takes batches and applies them to a database of its own."""

    def __init__(self, api: str, token: str, database: Path) -> None:
        self._client = httpx.Client(base_url=api, headers={"Authorization": f"Bearer {token}"}, timeout=90)
        self._database = sqlite3.connect(database, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.executescript(SCHEMA)

    @property
    def position(self) -> str:
        """The last event that is committed here."""
        row = self._database.execute("SELECT id FROM position").fetchone()
        return row[0] if row else ""

    def poll(self, timeout_ms: int, limit: int = 500) -> int:
        """Fetches one batch and applies it; how many events were new."""
        params: dict[str, Any] = {"limit": limit, "timeout": timeout_ms}
        if self.position:
            params["lastEventId"] = self.position
        answer = self._client.get("/api/v1/feed", params=params)
        if answer.status_code == 410:
            self.resync(answer.json())
            return 0
        answer.raise_for_status()
        return self.apply(answer.json())

    def apply(self, batch: list[dict[str, Any]]) -> int:
        """Applies a batch and moves the position, both or neither."""
        if not batch:
            return 0
        new = 0
        self._database.execute("BEGIN IMMEDIATE")
        try:
            for event in batch:
                new += self._apply_one(event)
            self._move(batch[-1]["id"])
            self._database.execute("COMMIT")
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        return new

    def _apply_one(self, event: dict[str, Any]) -> int:
        taken = self._database.execute(
            "INSERT OR IGNORE INTO events (id, type, subject, event) VALUES (?, ?, ?, ?)",
            (event["id"], event["type"], event["subject"], json.dumps(event, ensure_ascii=False)),
        )
        if taken.rowcount == 0:
            return 0
        data = event["data"]
        if event["type"] == "case.filed":
            self._keep(data)
        elif event["type"] == "case.withdrawn":
            self._database.execute("UPDATE cases SET state = 'withdrawn' WHERE id = ?", (event["subject"],))
        return 1

    def _keep(self, form: dict[str, Any]) -> None:
        self._database.execute(
            "INSERT OR REPLACE INTO cases (id, number, state, form) VALUES (?, ?, ?, ?)",
            (form["id"], form["number"], form["state"], json.dumps(form, ensure_ascii=False)),
        )

    def _move(self, position: str) -> None:
        self._database.execute("INSERT OR REPLACE INTO position (one, id) VALUES (1, ?)", (position,))

    def resync(self, problem: dict[str, Any]) -> None:
        """Lists all cases once, then stands where the feed still reaches."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            for form in self._all_cases(problem["resync"]):
                self._keep(form)
            self._move(problem["resync_from"])
            self._database.execute("COMMIT")
        except BaseException:
            self._database.execute("ROLLBACK")
            raise

    def _all_cases(self, path: str) -> Iterator[dict[str, Any]]:
        cursor = None
        while True:
            answer = self._client.get(path, params={"limit": 500, **({"cursor": cursor} if cursor else {})})
            answer.raise_for_status()
            page = answer.json()
            yield from page["items"]
            cursor = page["next"]
            if cursor is None:
                return


def main() -> int:
    """Polls for ever; waits longer and longer while the other side is away."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--api", required=True)
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--database", type=Path, required=True)
    parser.add_argument("--timeout-ms", type=int, default=30_000, help="how long one poll waits for news")
    parser.add_argument("--once", action="store_true", help="stop when there is nothing new")
    given = parser.parse_args()
    consumer = Consumer(given.api, given.token_file.read_text().strip(), given.database)
    wait = 0.2
    while True:
        try:
            new = consumer.poll(0 if given.once else given.timeout_ms)
            wait = 0.2
        except (httpx.TransportError, httpx.HTTPStatusError) as error:
            status = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else 503
            if status in (401, 403):
                sys.stderr.write(f"refused ({status}): is the token one of role platform?\n")
                return 2
            time.sleep(wait)
            wait = min(wait * 2, 30.0)
            continue
        if given.once and new == 0:
            return 0


if __name__ == "__main__":
    raise SystemExit(main())
