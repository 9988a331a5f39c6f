"""Filing: spooled first, sent until accepted, never twice; against a real HTTP server that fails as servers do."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from yunxun.errors import YunxunError
from yunxun.filing import file_sites


class _Api(ThreadingHTTPServer):
    """Answers with the scripted statuses, then 200; keeps what it was sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.statuses: list[int] = []
        self.keys: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, _Api)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert body["type"] == "FeatureCollection" and self.path == "/api/v1/sites"
        server.keys.append(self.headers["Idempotency-Key"])
        status = server.statuses.pop(0) if server.statuses else 200
        answer = json.dumps({"title": "no", "accepted": len(body["features"])}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def api() -> Iterator[_Api]:
    server = _Api()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()


@pytest.fixture
def sites(tmp_path: Path) -> Path:
    properties = {"n": 1, "family": "sanitation", "label": "waste_heap", "probability": 0.9, "area_m2": 4.0}
    point = {"type": "Point", "coordinates": [118.35, 35.1]}
    feature = {"type": "Feature", "geometry": point, "properties": properties}
    path = tmp_path / "sites.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "patrol_id": "P", "features": [feature]}))
    return path


def test_run_twice_sends_the_same_key_twice(api: _Api, sites: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert file_sites(sites, api.url, "t", tmp_path / "spool").filed == 1
    assert len(api.keys) == 2 and len(set(api.keys)) == 1
    assert list((tmp_path / "spool").glob("*")) == []


def test_a_server_that_is_not_ready_is_asked_again(api: _Api, sites: Path, tmp_path: Path) -> None:
    api.statuses = [503, 429]
    assert file_sites(sites, api.url, "t", tmp_path / "spool").filed == 1
    assert len(api.keys) == 3 and len(set(api.keys)) == 1


def test_an_unreachable_api_keeps_the_filing_for_the_next_call(api: _Api, sites: Path, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    api.statuses = [503] * 10
    first = file_sites(sites, api.url, "t", spool, patience_s=0.0)
    assert (first.filed, first.spooled) == (0, 1)
    assert len(list(spool.glob("*.json"))) == 1
    api.statuses = []
    assert file_sites(sites, api.url, "t", spool).filed == 1
    assert list(spool.glob("*.json")) == []


def test_a_wrong_token_is_told_and_leaves_nothing(api: _Api, sites: Path, tmp_path: Path) -> None:
    api.statuses = [401]
    with pytest.raises(YunxunError, match=r"401.*yunxun token"):
        file_sites(sites, api.url, "wrong", tmp_path / "spool")
    assert list((tmp_path / "spool").glob("*.json")) == []
