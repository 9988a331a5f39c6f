"""Jobs on the embedded Valkey, real processes: filed through the API, killed in the middle, finished, nothing twice."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from yunxun.processes import marked_processes

YUNXUN = [sys.executable, "-m", "yunxun.cli"]


class Server:
    """A `yunxun serve` of the test's own."""

    def __init__(self, data: Path) -> None:
        self.data = data
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.env = {**os.environ, "YUNXUN_DATA_DIR": str(data), "YUNXUN_BROKER_URL": "", "YUNXUN_DATABASE_URL": ""}
        self.process = self.start()
        token = subprocess.run(
            [*YUNXUN, "token", "--role", "admin"], env=self.env, capture_output=True, text=True, check=True
        )
        headers = {"Authorization": f"Bearer {token.stdout.strip()}"}
        address = f"http://127.0.0.1:{self.port}/api/v1"
        self.http = httpx.Client(base_url=address, headers=headers, timeout=60.0, trust_env=False)

    def start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([*YUNXUN, "serve", "--port", str(self.port)], env=self.env)
        health = f"http://127.0.0.1:{self.port}/healthz"
        wait_for(lambda: _answers(health) or process.poll() is not None, 90, "the server")
        assert process.poll() is None
        return process

    def get(self, path: str) -> Any:
        answer = self.http.get(path)
        assert answer.is_success, answer.text
        return answer.json()

    def post(self, path: str, **kwargs: Any) -> Any:
        answer = self.http.post(path, **kwargs)
        assert answer.is_success, answer.text
        return answer.json()

    def feed(self) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        while page := self.get(f"feed?limit=50&lastEventId={events[-1]['id']}" if events else "feed?limit=50"):
            events += page
        return events


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1.0, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"waited {seconds} s for {what}")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path / "data")
    yield running
    if running.process.poll() is None:
        running.process.send_signal(signal.SIGINT)
        running.process.wait(30)


def upload(server: Server, card: Path) -> str:
    patrol = server.post("patrols", json={"name": "2026-11-23-测试-01", "place": "测试镇"})["id"]
    for photo in sorted(card.iterdir()):
        stored = server.post(
            f"patrols/{patrol}/frames", files=[("files", (photo.name, photo.read_bytes(), "image/jpeg"))]
        )
        assert len(stored["stored"]) == 1
    return str(patrol)


def main_process(server: Server, name: str) -> int:
    """The child that `serve` started under this name: of the marked processes, the one that it is the parent of."""
    for pid in marked_processes(server.data / "run", name):
        if int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) == server.process.pid:
            return pid
    raise AssertionError(f"no {name} under {server.process.pid}")


@pytest.mark.timeout(600)
def test_a_job_whose_worker_is_killed_finishes_and_nothing_is_there_twice(server: Server, card: Path) -> None:
    patrol = upload(server, card)
    job = server.post(f"patrols/{patrol}/jobs", json={"kind": "process_patrol"})["id"]
    wait_for(lambda: server.get(f"jobs/{job}")["what"], 60, "the job's first progress")
    os.kill(main_process(server, "worker"), signal.SIGKILL)
    done = wait_for(lambda: (j := server.get(f"jobs/{job}"))["state"] in ("done", "failed") and j, 300, "the job")
    assert done["state"] == "done", done["error"]
    assert done["attempts"] >= 2

    candidates = server.get(f"candidates?patrol_id={patrol}&limit=100")["items"]
    created = Counter(e["subject"] for e in server.feed() if e["type"] == "candidate.created")
    assert set(created.values()) <= {1}
    assert len(created) == len(candidates) == done["result"]["candidates"]
    tiles = server.get(f"patrols/{patrol}")
    assert tiles["has_mosaic"] and tiles["bounds"]

    # The same job asked for again resumes from the patrol's ledger and adds nothing.
    again = server.post(f"patrols/{patrol}/jobs", json={"kind": "process_patrol"})["id"]
    wait_for(lambda: server.get(f"jobs/{again}")["state"] == "done", 60, "the second job")
    assert all(stage["resumed"] for stage in server.get(f"jobs/{again}")["result"]["stages"].values())
    assert len(server.get(f"candidates?patrol_id={patrol}&limit=100")["items"]) == len(candidates)


def test_ctrl_c_stops_everything_and_kill_9_leaves_nothing_at_the_next_start(server: Server) -> None:
    run = server.data / "run"
    assert {"api", "valkey", "worker"} <= {name for name in ("api", "valkey", "worker") if marked_processes(run, name)}
    before = set(marked_processes(run))
    server.process.send_signal(signal.SIGKILL)
    server.process.wait(10)
    server.process = server.start()
    assert before.isdisjoint(marked_processes(run))
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(30) == 0
    assert marked_processes(run) == []


def test_a_second_server_on_the_same_data_is_refused(server: Server) -> None:
    second = subprocess.run(
        [*YUNXUN, "serve", "--port", "0"], env=server.env, capture_output=True, text=True, timeout=60
    )
    assert second.returncode == 2
    assert "already runs" in second.stderr
