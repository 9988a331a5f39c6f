"""Several workers on one port; what compose.yaml and the Dockerfile name is there."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections import Counter
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def answering(port: int, tries: int = 24) -> Counter[int]:
    """Which process answered each of so many new connections."""
    found: Counter[int] = Counter()
    deadline = time.monotonic() + 60
    while sum(found.values()) < tries and time.monotonic() < deadline:
        try:
            found[int(httpx.get(f"http://127.0.0.1:{port}/", trust_env=False, timeout=5).text)] += 1
        except httpx.HTTPError:
            time.sleep(0.1)
    return found


def test_connections_are_dealt_out_and_a_killed_worker_comes_back() -> None:
    port = free_port()
    command = [sys.executable, "-m", "api.server", "tests.api.plain_app:app", "--port", str(port), "--workers", "2"]
    server = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        deadline = time.monotonic() + 60
        while len(both := answering(port)) < 2 and time.monotonic() < deadline:
            continue
        assert len(both) == 2, "one worker takes all connections"
        victim = next(iter(both))
        os.kill(victim, signal.SIGKILL)
        while len(now := answering(port)) < 2 or victim in now:
            assert time.monotonic() < deadline + 60
        server.terminate()
        assert server.wait(30) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.1:{port}/", trust_env=False)
    finally:
        if server.poll() is None:
            server.kill()


def test_compose_names_what_is_there() -> None:
    """Parsed, not run: there is no Docker where this was written."""
    yaml = pytest.importorskip("yaml")
    services = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"]
    assert set(services) == {"database", "broker", "migrate", "api", "worker"}
    for name in ("api", "worker"):
        command = services[name]["command"]
        assert command[:2] == ["python", "-m"] and importlib.util.find_spec(command[2]) is not None
    assert "yunxun.asgi:app" in services["api"]["command"] and (ROOT / "yunxun/asgi.py").is_file()
    assert services["api"]["ports"] == ["127.0.0.1:8000:8000"], "open to the world without TLS"
    for service in services.values():
        for needed in service.get("depends_on", {}):
            assert needed in services
    assert "POSTGRES_PASSWORD:?" in services["database"]["environment"]["POSTGRES_PASSWORD"], "a default password"


def test_the_image_holds_every_package() -> None:
    lines = (ROOT / "Dockerfile").read_text("utf-8").splitlines()
    copied = {line.split()[1] for line in lines if line.startswith("COPY ") and line.split()[-1].startswith("./")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    packages = {one.rstrip("*") for one in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert packages <= copied | {"pyproject.toml"}
    ignored = (ROOT / ".dockerignore").read_text("utf-8").split()
    assert {f"!{one}" for one in packages} <= set(ignored)
    assert any(line.startswith("USER ") for line in lines), "runs as root"
