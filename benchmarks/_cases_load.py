"""Fills a database for `benchmarks/cases.py`: three years of cases over 18 by 18 km, denser towards the middle.

Cases, their two events each, and their sites are all there; of the candidates the last tenth (older ones are only ever
looked up by id). Hash chains are filled with random bytes: what is measured reads and extends them and never verifies.
"""

# ruff: noqa: E501  (SQL reads better in its own lines)
from __future__ import annotations

import json
import random
import sqlite3
import time
import uuid
from pathlib import Path
from typing import Any

CENTRE = (118.35, 35.10)
SPREAD = (0.10, 0.08)
YEARS = 3.0
DISTRICTS = ("371302", "371311", "371312", "371391", "371392")

_PLACE = f"""
  SELECT i, lon, lat, floor((lon - {CENTRE[0] - SPREAD[0]}) / {2 * SPREAD[0] / 40})::int AS xi,
         floor((lat - {CENTRE[1] - SPREAD[1]}) / {2 * SPREAD[1] / 40})::int AS yi, r, s, ts
  FROM (SELECT i, {CENTRE[0]} + ((random() + random()) - 1) * {SPREAD[0]} * 0.9999 AS lon,
               {CENTRE[1]} + ((random() + random()) - 1) * {SPREAD[1]} * 0.9999 AS lat,
               random() AS r, random() AS s,
               now() - make_interval(secs => {YEARS * 365 * 86400} * (1 - i / (%(rows)s + 1)::float8)) AS ts
        FROM generate_series(%(first)s, %(last)s) AS i OFFSET 0) AS p
"""

_CASES = f"""
INSERT INTO cases (id, number, candidate_id, site_id, patrol_id, state, family, label, code_set, code, condition, geom,
  lon, lat, tile, cell, district, street, community, tier, address, description, area_m2, height_change_m, probability,
  model, reviewer, seen_at, filed_at, deadline_at, platform_no, platform_at, evidence, version, chain_n, chain_hash)
SELECT (lpad(to_hex((extract(epoch FROM ts) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(i %% 4096), 3, '0') || '8'
        || lpad(to_hex(i), 15, '0'))::uuid,
  'LY-WRJ-' || to_char(ts, 'YYYYMMDD') || '-' || lpad(i::text, 8, '0'), 'P' || i / 50 || '/' || i %% 50,
  lpad(to_hex(i), 32, '0')::uuid, 'P' || i / 50, st, fam, 'bench', 'GB/T 47678.5-2026',
  CASE fam WHEN 'construction' THEN '06001' ELSE '06010' END, NULL,
  ST_MakeEnvelope(lon, lat, lon + 0.0001, lat + 0.0001, 4326), lon, lat,
  (floor((lat + 90) * 100) * 36000 + floor((lon + 180) * 100))::int, street || com || cel, district, street,
  street || com, 1, '北园路' || i %% 900 || '号', '无人机巡查发现疑似问题，面积约120平方米。', 120, 2.5, s, 'bench-1',
  'reviewer-' || i %% 40, ts, ts, ts + interval '7 days', NULL, NULL, '[]', 1, 2, decode(lpad(to_hex(i), 64, '0'), 'hex')
FROM (SELECT *, district || lpad((xi / 10 + 1)::text, 3, '0') AS street, lpad((xi %% 10 + 1)::text, 3, '0') AS com,
             lpad((yi %% 8 + 1)::text, 3, '0') AS cel
      FROM (SELECT *, (ARRAY['371302','371311','371312','371391','371392'])[least(yi / 8, 4) + 1] AS district,
                   CASE WHEN r < 0.55 THEN 'construction' ELSE 'sanitation' END AS fam,
                   CASE WHEN i > %(rows)s * 0.995 THEN 'filed' WHEN s < 0.9 THEN 'closed' WHEN s < 0.94 THEN 'registered'
                        WHEN s < 0.98 THEN 'dispatched' ELSE 'refused' END AS st
            FROM ({_PLACE}) AS a OFFSET 0) AS b OFFSET 0) AS c
"""

_SITES = """
INSERT INTO sites (pk, id, family, geom, min_lon, min_lat, max_lon, max_lat, area_m2, verdict, case_id, candidate_id,
  times_seen, first_seen_at, last_seen_at)
SELECT row_number() OVER (), site_id, family, geom, lon, lat, lon + 0.0001, lat + 0.0001, 100, NULL,
  CASE WHEN state IN ('filed', 'registered', 'dispatched') THEN id END, candidate_id, 1, filed_at, filed_at
FROM cases ORDER BY tile
"""

_CANDIDATES = """
INSERT INTO candidates (pk, id, patrol_id, n, site_id, case_id, state, family, label, probability, area_m2, geom, lon,
  lat, tile, cell, district, frames, more, content_sha256, reviewer, decided_at, version, chain_n, chain_hash, created_at)
SELECT row_number() OVER (), candidate_id, patrol_id, split_part(candidate_id, '/', 2)::int, site_id, id, 'accepted',
  family, label, probability, area_m2, geom, lon, lat, tile, cell, district, '[]', '{}', chain_hash, reviewer, filed_at,
  2, 2, chain_hash, filed_at
FROM cases WHERE id >= (SELECT id FROM cases ORDER BY id DESC OFFSET %(tenth)s LIMIT 1)
"""

_EVENTS = """
INSERT INTO events (seq, epoch, xid, type, subject, chain_n, time, actor, family, district, code, data, prev_hash, hash)
SELECT row_number() OVER (), 1, 3, CASE k WHEN 1 THEN 'case.filed' ELSE 'case.platform' END, id::text, k,
  filed_at + (k - 1) * interval '1 second', CASE k WHEN 1 THEN reviewer ELSE 'platform' END, family, district, code,
  CASE k WHEN 1 THEN '{"address":"' || address || '","area_m2":120.0,"candidate_id":"' || candidate_id || '","cell":"'
    || cell || '","code":"' || code || '","description":"' || description || '","district":"' || district
    || '","family":"' || family || '","id":"' || id || '","lat":' || lat || ',"lon":' || lon || ',"number":"' || number
    || '","state":"filed"}'
  ELSE '{"before":"filed","number":"' || number || '","platform_no":null,"state":"registered"}' END,
  chain_hash, chain_hash
FROM cases, generate_series(1, 2) AS k
"""

_ROLLUPS = """
INSERT INTO case_counts SELECT district, family, code, state, 0, count(*) FROM cases GROUP BY 1, 2, 3, 4;
INSERT INTO case_days SELECT (filed_at AT TIME ZONE 'Asia/Shanghai')::date, district, family, 0, count(*)
  FROM cases GROUP BY 1, 2, 3;
INSERT INTO case_tiles SELECT DISTINCT state, family, tile FROM cases;
SELECT setval(pg_get_serial_sequence('events', 'seq'), (SELECT max(seq) FROM events));
SELECT setval(pg_get_serial_sequence('sites', 'pk'), (SELECT max(pk) FROM sites));
SELECT setval(pg_get_serial_sequence('candidates', 'pk'), (SELECT max(pk) FROM candidates));
"""


def load_postgres(cluster: Any, rows: int) -> None:
    """Loads `rows` cases table by table and in parts, indexes afterwards.

    The server makes the rows itself: nothing crosses a socket, which is faster still than COPY from a client.
    """
    start = time.perf_counter()

    def step(what: str, *statements: str) -> None:
        settings = "SET synchronous_commit = off; SET maintenance_work_mem = '1GB'; SET work_mem = '512MB'; "
        cluster.sql(settings + "; ".join(statements))
        print(f"# {time.perf_counter() - start:7.0f} s  {what}", flush=True)

    build = {table: _drop_indexes(cluster, table) for table in ("cases", "sites", "candidates", "events")}
    part = 1_000_000
    for first in range(1, rows + 1, part):
        step(f"cases from {first:,}", _CASES % {"rows": rows, "first": first, "last": min(first + part - 1, rows)})
    for definition in build["cases"]:
        step(definition[:70], definition)
    step("sites", _SITES)
    step("candidates", _CANDIDATES % {"tenth": rows // 10})
    step("events", _EVENTS)
    for table in ("sites", "candidates", "events"):
        for definition in build[table]:
            step(definition[:70], definition)
    step("rollups", _ROLLUPS)
    cluster.sql("VACUUM ANALYZE")
    size = cluster.sql("SELECT pg_database_size(current_database()) / 1000000000").strip()
    print(f"# {time.perf_counter() - start:7.0f} s  loaded, {size} GB", flush=True)


def grid() -> list[tuple[str, str, str, str, float, float, float, float]]:
    """The 1,600 cells in which the cases lie: code, district, street, community, bounds."""
    cells = []
    for xi in range(40):
        for yi in range(40):
            district = DISTRICTS[min(yi // 8, 4)]
            street = f"{district}{xi // 10 + 1:03d}"
            community = f"{street}{xi % 10 + 1:03d}"
            west = CENTRE[0] - SPREAD[0] + xi * 2 * SPREAD[0] / 40
            south = CENTRE[1] - SPREAD[1] + yi * 2 * SPREAD[1] / 40
            east, north = west + 2 * SPREAD[0] / 40, south + 2 * SPREAD[1] / 40
            cells.append((f"{community}{yi % 8 + 1:03d}", district, street, community, west, south, east, north))
    return cells


def load_grid(database: Any) -> None:
    """Loads the grid unless it is there: a filing looks its cell up."""
    import shapely

    from api.grid.models import GridCell

    with database.write() as session:
        if session.query(GridCell).first() is not None:
            return
        for cell, district, street, community, west, south, east, north in grid():
            session.add(GridCell(
                cell=cell, district=district, street=street, community=community, tier=1, name=None,
                geom=shapely.box(west, south, east, north), min_lon=west, min_lat=south, max_lon=east, max_lat=north,
            ))  # fmt: skip


def forget_runs(database: Any) -> None:
    """Takes away what earlier runs filed: the same few square kilometres would fill up from run to run."""
    from sqlalchemy import text

    with database.write() as session:
        for patrol in ("bench-", "mix-", "seen-"):
            like = {"first": patrol, "last": patrol + "~"}
            session.execute(text(
                "DELETE FROM sites WHERE id IN (SELECT site_id FROM candidates"
                " WHERE patrol_id >= :first AND patrol_id < :last) AND case_id IS NULL AND times_seen = 1"
            ), like)  # fmt: skip
            session.execute(text("DELETE FROM events WHERE subject >= :first AND subject < :last"), like)
            session.execute(text("DELETE FROM candidates WHERE patrol_id >= :first AND patrol_id < :last"), like)


def _drop_indexes(cluster: Any, table: str) -> list[str]:
    """Drops all of a table's indexes; gives the statements that make them again."""
    again: list[str] = []
    constraints = cluster.sql(
        "SELECT conname || '|' || pg_get_constraintdef(oid) FROM pg_constraint"
        f" WHERE conrelid = '{table}'::regclass AND contype IN ('p', 'u') ORDER BY contype"
    )
    for line in constraints.splitlines():
        name, definition = line.split("|", 1)
        cluster.sql(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        again.append(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
    for line in cluster.sql(
        f"SELECT indexname || '|' || indexdef FROM pg_indexes WHERE tablename = '{table}'"
    ).splitlines():
        name, definition = line.split("|", 1)
        cluster.sql(f"DROP INDEX {name}")
        again.append(definition)
    return again


def load_sqlite(path: Path, rows: int) -> None:
    """The same kind of rows on SQLite, by executemany."""
    import shapely

    from api.geo import tile_of

    connection = sqlite3.connect(path, isolation_level=None)
    if connection.execute("SELECT count(*) FROM (SELECT 1 FROM cases LIMIT 1)").fetchone()[0]:
        connection.close()
        return
    connection.execute("PRAGMA synchronous=OFF")
    rng = random.Random(1)
    now = time.time()
    columns = (
        "id, number, candidate_id, site_id, patrol_id, state, family, label, code_set, code, geom, lon, lat, tile, cell,"
        " district, street, community, tier, address, description, area_m2, probability, reviewer, filed_at,"
        " deadline_at, evidence, version, chain_n, chain_hash"
    )
    connection.execute("BEGIN")
    for i in range(1, rows + 1):
        lon = CENTRE[0] + (rng.random() + rng.random() - 1) * SPREAD[0] * 0.9999
        lat = CENTRE[1] + (rng.random() + rng.random() - 1) * SPREAD[1] * 0.9999
        xi = int((lon - CENTRE[0] + SPREAD[0]) / (2 * SPREAD[0] / 40))
        yi = int((lat - CENTRE[1] + SPREAD[1]) / (2 * SPREAD[1] / 40))
        district = DISTRICTS[min(yi // 8, 4)]
        street = f"{district}{xi // 10 + 1:03d}"
        community = f"{street}{xi % 10 + 1:03d}"
        ts = now - YEARS * 365 * 86400 * (1 - i / (rows + 1))
        case = uuid.UUID(int=(int(ts * 1000) << 80) | (7 << 76) | (8 << 60) | i).hex
        site = uuid.UUID(int=i).hex
        family = "construction" if rng.random() < 0.55 else "sanitation"
        draw = rng.random()
        state = "filed" if i > rows * 0.995 else (
            "closed" if draw < 0.9 else "registered" if draw < 0.94 else "dispatched" if draw < 0.98 else "refused"
        )  # fmt: skip
        geometry = shapely.to_wkb(shapely.box(lon, lat, lon + 0.0001, lat + 0.0001))
        stamp = time.strftime("%Y-%m-%d %H:%M:%S.000000", time.gmtime(ts))
        due = time.strftime("%Y-%m-%d %H:%M:%S.000000", time.gmtime(ts + 7 * 86400))
        code = "06001" if family == "construction" else "06010"
        number, candidate = f"LY-WRJ-{stamp[:10].replace('-', '')}-{i:08d}", f"P{i // 50}/{i % 50}"
        digest = i.to_bytes(32, "big")
        connection.execute(
            f"INSERT INTO cases ({columns}) VALUES ({','.join('?' * 30)})",
            (case, number, candidate, site, f"P{i // 50}", state, family, "bench", "GB/T 47678.5-2026", code, geometry,
             lon, lat, tile_of(lon, lat), f"{community}{yi % 8 + 1:03d}", district, street, community, 1,
             f"北园路{i % 900}号", "无人机巡查发现疑似问题。", 120.0, draw, f"reviewer-{i % 40}", stamp, due, "[]", 1, 2,
             digest),
        )  # fmt: skip
        connection.execute(
            "INSERT INTO sites (pk, id, family, geom, min_lon, min_lat, max_lon, max_lat, area_m2, case_id, candidate_id,"
            " times_seen, first_seen_at, last_seen_at) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (i, site, family, geometry, lon, lat, lon + 0.0001, lat + 0.0001, 100.0,
             case if state in ("filed", "registered", "dispatched") else None, candidate, 1, stamp, stamp),
        )  # fmt: skip
        data = json.dumps({"id": str(uuid.UUID(case)), "number": number, "lon": lon, "lat": lat, "state": "filed"})
        for k, kind in ((1, "case.filed"), (2, "case.platform")):
            connection.execute(
                "INSERT INTO events (seq, epoch, xid, type, subject, chain_n, time, actor, family, district, code, data,"
                " prev_hash, hash) VALUES (?,1,0,?,?,?,?,?,?,?,?,?,?,?)",
                (2 * i + k - 2, kind, str(uuid.UUID(case)), k, stamp, "bench", family, district, code, data, digest,
                 digest),
            )  # fmt: skip
    connection.execute(
        "INSERT INTO case_counts SELECT district, family, code, state, 0, count(*) FROM cases GROUP BY 1,2,3,4"
    )
    connection.execute(
        "INSERT INTO case_days SELECT date(filed_at, '+8 hours'), district, family, 0, count(*) FROM cases GROUP BY 1,2,3"
    )
    connection.execute("INSERT INTO case_tiles SELECT DISTINCT state, family, tile FROM cases")
    connection.execute("COMMIT")
    connection.execute("ANALYZE")
    connection.close()
