"""Measures the case API at size: 10 million cases and 20 million events on PostgreSQL 15 + PostGIS, 200,000 on SQLite.

    python benchmarks/cases.py                         # SQLite, 200,000 cases
    python benchmarks/cases.py --rows 10000000         # a PostgreSQL cluster of its own
    python benchmarks/cases.py --rows 10000000 --data DIR [--parts reading,filing,feeding,mixed]

With `--data` the loaded database stays there and is measured again without loading (`--load-only` loads and ends).

A real server (`api.server`, two processes on PostgreSQL) is asked over HTTP by this process: the two share the machine,
as the bars say. Every row of the table says what was measured, how often, and on which load.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from api.auth.service import issue_token  # noqa: E402
from api.database import Database, migrate  # noqa: E402
from api.settings import ApiSettings  # noqa: E402
from benchmarks._cases_http import Answer, AsyncWire, Wire  # noqa: E402
from benchmarks._cases_load import CENTRE, DISTRICTS, SPREAD, forget_runs, load_grid, load_postgres, load_sqlite  # noqa: E402

STATES = ("filed", "registered", "dispatched", "closed")
FAMILIES = ("construction", "sanitation")


class Bench:
    """One loaded installation, its server, and what was measured."""

    def __init__(self, settings: ApiSettings, port: int, tokens: dict[str, str]) -> None:
        self.settings = settings
        self.port = port
        self.tokens = tokens
        self.rows: list[tuple[str, str, str, bool]] = []
        self.random = random.Random(7)

    def row(self, what: str, measured: str, bar: str, good: bool) -> None:
        """Prints one line of the table."""
        self.rows.append((what, measured, bar, good))
        print(f"{'ok  ' if good else 'MISS'} {what:<58} {measured:<44} {bar}", flush=True)

    def client(self, role: str) -> Wire:
        """A connection with the token of a role."""
        return Wire(self.port, self.tokens[role])


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def timed(calls: int, ask: Callable[[], Answer]) -> list[float]:
    """Milliseconds of each call; the first tenth warms caches and is not counted."""
    found = []
    for i in range(calls + calls // 10):
        start = time.perf_counter()
        answer = ask()
        took = (time.perf_counter() - start) * 1000
        assert answer.status < 300, answer.content[:300]
        if i >= calls // 10:
            found.append(took)
    return found


def box(rng: random.Random, size_deg: float) -> str:
    west = CENTRE[0] + rng.uniform(-SPREAD[0], SPREAD[0] - size_deg)
    south = CENTRE[1] + rng.uniform(-SPREAD[1], SPREAD[1] - size_deg)
    return f"{west:.5f},{south:.5f},{west + size_deg:.5f},{south + size_deg:.5f}"


def reading(bench: Bench, ids: list[str], cursors: list[str], n: int) -> None:
    rng = bench.random
    with bench.client("officer") as client:
        one = timed(n, lambda: client.get(f"/api/v1/cases/{rng.choice(ids)}"))
        bench.row("get one case", spread(one), "p99 <= 10 ms", percentile(one, 0.99) <= 10)

        def in_box(size: float) -> Answer:
            params = {"bbox": box(rng, size), "state": rng.choice(STATES), "family": rng.choice(FAMILIES)}
            # Any depth: most pages begin somewhere in the past.
            if rng.random() < 0.75:
                params["cursor"] = rng.choice(cursors)
            return client.get("/api/v1/cases", {**params, "limit": 100})

        for name, size in (("0.5 km", 0.005), ("2 km", 0.02), ("5 km", 0.05), ("the whole city", 0.18)):
            found = timed(n // 2, lambda size=size: in_box(size))
            bench.row(f"page of 100 by bbox ({name}) + state + family, any depth", spread(found), "p95 <= 40 ms",
                      percentile(found, 0.95) <= 40)  # fmt: skip

        def by_cell(length: int) -> Answer:
            code = (
                f"{rng.choice(DISTRICTS)}{rng.randrange(1, 5):03d}{rng.randrange(1, 11):03d}{rng.randrange(1, 9):03d}"
            )
            return client.get("/api/v1/cases", {"cell": code[:length], "limit": 100})

        for length in (8, 9, 12, 15):
            found = timed(n // 2, lambda length=length: by_cell(length))
            bench.row(f"page of 100 by cell prefix ({length} digits)", spread(found), "p95 <= 40 ms",
                      percentile(found, 0.95) <= 40)  # fmt: skip
        newest = timed(n, lambda: client.get("/api/v1/cases", {"district": rng.choice(DISTRICTS), "limit": 100}))
        bench.row("page of 100, newest in a district", spread(newest), "p95 <= 40 ms", percentile(newest, 0.95) <= 40)
        facets = timed(n // 4, lambda: client.get("/api/v1/facets"))
        bench.row("facets", spread(facets), "p95 <= 100 ms", percentile(facets, 0.95) <= 100)


def spread(values: list[float]) -> str:
    p50, p95, p99 = (percentile(values, share) for share in (0.5, 0.95, 0.99))
    return f"p50 {p50:.1f} p95 {p95:.1f} p99 {p99:.1f} ms (n={len(values)})"


def candidate(rng: random.Random, patrol: str, n: int) -> dict[str, Any]:
    """A thing of 9 by 11 m in the outer districts, where 1,400 sites of three years lie in a square kilometre.

    In the middle ten million sites cover the ground three times over, as no city's do: there every filing would be a
    thing seen again.
    """
    lon, lat = (
        middle + rng.choice((-1, 1)) * rng.uniform(0.80, 0.95) * spread
        for middle, spread in zip(CENTRE, SPREAD, strict=True)
    )
    d = 0.0001
    ring = [[lon, lat], [lon + d, lat], [lon + d, lat + d], [lon, lat + d], [lon, lat]]
    properties = {
        "n": n,
        "family": rng.choice(FAMILIES),
        "label": "bench",
        "probability": rng.random(),
        "area_m2": 100.0,
    }
    return {"type": "Feature", "patrol_id": patrol, "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": properties}  # fmt: skip


def filing(bench: Bench, n: int, seconds: float) -> None:
    rng = bench.random
    patrol = f"bench-{time.time_ns():x}"
    numbers = iter(range(900_000))
    with bench.client("pilot") as client:
        found = timed(n, lambda: client.post("/api/v1/sites", candidate(rng, patrol, next(numbers)),
                                             f"{patrol}-{rng.random()}"))  # fmt: skip
        bench.row(
            "file a candidate, duplicate search included", spread(found), "p95 <= 20 ms", percentile(found, 0.95) <= 20
        )
    offered = asyncio.run(_sustain(bench, patrol, numbers, seconds, 220.0))
    took, good, wrong = offered
    rate = good / seconds
    bench.row("filings sustained (offered 220/s, 8 connections)", f"{rate:.0f}/s, {wrong} errors, {spread(took)}",
              ">= 200/s", rate >= 200 and wrong == 0)  # fmt: skip


async def _sustain(
    bench: Bench, patrol: str, numbers: Any, seconds: float, rate: float
) -> tuple[list[float], int, int]:
    rng, took = bench.random, []
    good = wrong = 0
    started = time.perf_counter()

    async def worker() -> None:
        nonlocal good, wrong
        wire = AsyncWire(bench.port)
        while (now := time.perf_counter() - started) < seconds:
            if good + wrong > now * rate:
                await asyncio.sleep(0.002)
                continue
            start = time.perf_counter()
            answer = await wire.post("/api/v1/sites", bench.tokens["pilot"], candidate(rng, patrol, next(numbers)))
            took.append((time.perf_counter() - start) * 1000)
            good += answer.status in (200, 201)
            wrong += answer.status not in (200, 201)
        wire.close()

    await asyncio.gather(*(worker() for _ in range(8)))
    return took, good, wrong


def feeding(bench: Bench, events: int) -> None:
    with bench.client("officer") as client:
        last, seen, start = "", 0, time.perf_counter()
        while seen < events:
            answer = client.get("/api/v1/feed", {"limit": 5000, **({"lastEventId": last} if last else {})})
            batch = json.loads(answer.content)
            if not batch:
                break
            seen, last = seen + len(batch), batch[-1]["id"]
        rate = seen / (time.perf_counter() - start)
    bench.row("feed replay", f"{rate:,.0f} events/s ({seen:,} events)", ">= 5,000 events/s", rate >= 5000)
    found = asyncio.run(_commit_to_visible(bench, 60))
    bench.row("commit to visible (long poll, other writers at work)", spread(found), "p99 <= 1 s",
              percentile(found, 0.99) <= 1000)  # fmt: skip


async def _commit_to_visible(bench: Bench, n: int) -> list[float]:
    """Milliseconds from the answer to a filing until a long-polling reader holds its event."""
    patrol, rng = f"seen-{time.time_ns():x}", bench.random
    answered: dict[str, float] = {}
    arrived: dict[str, float] = {}

    async def read() -> None:
        wire, token = AsyncWire(bench.port), bench.tokens["officer"]
        last = (await wire.get("/api/v1/feed/recent", token, {"limit": 1})).json()[0]["id"]
        while len(arrived) < n:
            batch = (
                await wire.get("/api/v1/feed", token, {"lastEventId": last, "timeout": 5000, "limit": 1000})
            ).json()
            for event in batch:
                last = event["id"]
                if event["type"] == "candidate.created" and event["subject"].startswith(patrol):
                    arrived[event["subject"]] = time.perf_counter()

    async def write() -> None:
        wire = AsyncWire(bench.port)
        await asyncio.sleep(0.5)
        for i in range(n):
            await wire.post("/api/v1/sites", bench.tokens["pilot"], candidate(rng, patrol, i))
            answered[f"{patrol}/{i}"] = time.perf_counter()
            await asyncio.sleep(rng.uniform(0.01, 0.1))

    await asyncio.wait_for(asyncio.gather(read(), write()), 120)
    return [max((arrived[key] - answered[key]) * 1000, 0.0) for key in answered]


def mixed(bench: Bench, ids: list[str], cursors: list[str], seconds: float) -> None:
    done, wrong, took = asyncio.run(_mix(bench, ids, cursors, seconds))
    rate = done / seconds
    said = f"{rate:.0f} req/s, {wrong} errors, {spread(took)}"
    bench.row("mixed load, 80 % reads, 16 connections", said, ">= 400 req/s, no error", rate >= 400 and wrong == 0)


async def _mix(bench: Bench, ids: list[str], cursors: list[str], seconds: float) -> tuple[int, int, list[float]]:
    rng, took, patrol = bench.random, [], f"mix-{time.time_ns():x}"
    done = wrong = 0
    numbers = iter(range(900_000))
    stop = time.perf_counter() + seconds
    officer = bench.tokens["officer"]

    async def ask(wire: AsyncWire) -> Answer:
        dice = rng.random()
        if dice < 0.45:
            return await wire.get(f"/api/v1/cases/{rng.choice(ids)}", officer)
        if dice < 0.60:
            params = {"district": rng.choice(DISTRICTS), "limit": 20, "cursor": rng.choice(cursors)}
            return await wire.get("/api/v1/cases", officer, params)
        if dice < 0.70:
            params = {"bbox": box(rng, 0.01), "state": "filed", "family": rng.choice(FAMILIES), "limit": 20}
            return await wire.get("/api/v1/cases", officer, params)
        if dice < 0.80:
            return await wire.get("/api/v1/facets", officer)
        return await wire.post("/api/v1/sites", officer, candidate(rng, patrol, next(numbers)))

    async def worker() -> None:
        nonlocal done, wrong
        wire = AsyncWire(bench.port)
        while time.perf_counter() < stop:
            start = time.perf_counter()
            answer = await ask(wire)
            took.append((time.perf_counter() - start) * 1000)
            done += 1
            wrong += answer.status >= 300
        wire.close()

    await asyncio.gather(*(worker() for _ in range(16)))
    return done, wrong, took


def serve(settings: ApiSettings, port: int, workers: int) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "BENCH_DATA": str(settings.data_dir),
        "BENCH_URL": settings.database_url,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "api.server", "benchmarks._cases_app:app", "--factory", "--port", str(port),
               "--workers", str(workers)]  # fmt: skip
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    for _ in range(300):
        try:
            if httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=2).status_code == 200:
                return process
        except httpx.HTTPError:
            time.sleep(0.2)
    process.kill()
    raise SystemExit("the server does not start")


def sample(bench: Bench, count: int) -> tuple[list[str], list[str]]:
    """Ids of cases all over time, and cursors that begin there."""
    from uuid import UUID

    from sqlalchemy import text

    from api.paging import write_cursor

    database = Database(bench.settings.url)
    found: set[str] = set()
    with database.read() as session:
        low, high = (UUID(str(value)).int >> 80 for value in session.execute(
            text("SELECT (SELECT id FROM cases ORDER BY id LIMIT 1), (SELECT id FROM cases ORDER BY id DESC LIMIT 1)")
        ).one())  # fmt: skip
        for _ in range(count):
            start = UUID(int=bench.random.randint(low, high) << 80)
            value = session.execute(
                text("SELECT id FROM cases WHERE id >= :id ORDER BY id LIMIT 1"),
                {"id": start if database.is_postgres else start.hex},
            ).scalar()
            if value is not None:
                found.add(str(UUID(str(value))))
    database.close()
    ids = sorted(found)
    return ids, [write_cursor(UUID(value)) for value in ids]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000, help="cases; from a million on PostgreSQL")
    parser.add_argument("--engine", choices=["sqlite", "postgres"], default=None)
    parser.add_argument("--data", type=Path, default=None, help="where the data lie and stay for the next run")
    parser.add_argument("--keep", action="store_true", help="keep the temporary folder when --data names none")
    parser.add_argument("--load-only", action="store_true")
    parser.add_argument("--parts", default="reading,filing,feeding,mixed", help="what to measure")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--port", type=int, default=8391)
    given = parser.parse_args()
    engine = given.engine or ("postgres" if given.rows >= 1_000_000 else "sqlite")
    folder = given.data or Path(tempfile.mkdtemp(prefix="yxbench"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        (on_postgres if engine == "postgres" else on_sqlite)(folder, given)
    finally:
        if not given.keep and not given.data:
            shutil.rmtree(folder, ignore_errors=True)


# As a server of this size would be set: a quarter of the memory it may count on for itself.
TUNED = {"shared_buffers": "2GB", "work_mem": "32MB", "maintenance_work_mem": "1GB", "max_wal_size": "8GB",
         "checkpoint_timeout": "30min", "random_page_cost": "1.1", "effective_io_concurrency": "200"}  # fmt: skip
# For the load alone: what a crash would cost is loading again. Taken back before anything is measured.
LOADING = {"fsync": "off", "full_page_writes": "off", "wal_level": "minimal", "max_wal_senders": "0",
           "autovacuum": "off"}  # fmt: skip


WARM = ("cases", "ix_cases_tile", "ix_cases_cell", "ix_cases_community", "ix_cases_street", "ix_cases_district_state",
        "pk_cases", "sites", "ix_sites_geom", "candidates")  # fmt: skip


def on_postgres(folder: Path, given: argparse.Namespace) -> None:
    from tests.api.cluster import Cluster

    done = folder / "loaded.json"
    url = f"postgresql+psycopg://yunxun@/yunxun?host={folder / 'c'}"
    settings = ApiSettings(data_dir=folder, database_url=url)
    if not done.is_file() or json.loads(done.read_text())["rows"] != given.rows:
        shutil.rmtree(folder / "c", ignore_errors=True)
        cluster = Cluster.open(folder / "c", **TUNED, **LOADING)
        try:
            migrate(settings.url)
            load_postgres(cluster, given.rows)
        finally:
            cluster.halt()
        os.sync()
        done.write_text(json.dumps({"rows": given.rows}))
    if given.load_only:
        return
    cluster = Cluster.open(folder / "c", **TUNED)
    try:
        migrate(settings.url)
        start = time.perf_counter()
        # A server that has run for an hour holds these; a cluster that was just started reads each page from disk.
        for name in WARM:
            cluster.sql(f"CREATE EXTENSION IF NOT EXISTS pg_prewarm; SELECT pg_prewarm('{name}', 'read')")
        print(f"# read into the page cache in {time.perf_counter() - start:.0f} s: {', '.join(WARM)}", flush=True)
        measure(settings, given, "postgres")
    finally:
        cluster.halt()


def on_sqlite(folder: Path, given: argparse.Namespace) -> None:
    settings = ApiSettings(data_dir=folder)
    migrate(settings.url)
    load_sqlite(folder / "yunxun.sqlite", given.rows)
    if not given.load_only:
        measure(settings, given, "sqlite")


def measure(settings: ApiSettings, given: argparse.Namespace, engine: str) -> None:
    database = Database(settings.url)
    load_grid(database)
    forget_runs(database)
    with database.write() as session:
        tokens = {role: issue_token(session, role, name=f"bench-{role}") for role in ("pilot", "officer")}
    database.close()
    server = serve(settings, given.port, given.workers if engine == "postgres" else 1)
    try:
        bench = Bench(settings, given.port, tokens)
        ids, cursors = sample(bench, 2000)
        load = os.getloadavg()[0]
        print(f"# {given.rows:,} cases, {2 * given.rows:,} events on {engine}; {os.cpu_count()} cores; load {load:.1f}")
        parts: dict[str, Callable[[], None]] = {
            "reading": lambda: reading(bench, ids, cursors, given.calls),
            "filing": lambda: filing(bench, given.calls, given.seconds),
            "feeding": lambda: feeding(bench, 200_000),
            "mixed": lambda: mixed(bench, ids, cursors, given.seconds),
        }
        for part in given.parts.split(","):
            parts[part]()
        print(f"# load at the end {os.getloadavg()[0]:.1f}; rows met: "
              f"{statistics.mean(good for *_, good in bench.rows):.0%}")  # fmt: skip
    finally:
        server.terminate()
        server.wait(20)


if __name__ == "__main__":
    main()
