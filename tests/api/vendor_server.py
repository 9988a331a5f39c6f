"""A small real server of the vendor's kind: save-record with pictures, query by number and by day, and its moods."""

from __future__ import annotations

import itertools
import json
import re
import threading
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

from python_multipart.multipart import parse_options_header

NEEDED = ("eventTypeID", "mainTypeID", "subTypeID", "cellID", "coordinateX", "coordinateY", "otherTaskNum", "address")


class Vendor:
    """Records by their number for us; `moods` is what the next calls meet: 503, "drop" (saved, answer lost), "html"."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, Any]] = {}
        self._numbers = itertools.count(1)
        self.calls: list[str] = []
        self.moods: list[Any] = []
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                return

            def _answer(self, status: int, body: Any) -> None:
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                vendor.calls.append("save")
                mood = vendor.moods.pop(0) if vendor.moods else None
                if self.headers.get("Authorization") != "Bearer vendor-secret":
                    return self._answer(401, {"success": False, "message": "no token"})
                if mood == 503:
                    return self._answer(503, {})
                if mood == "html":
                    return self._answer(200, b"<html>maintenance</html>")
                fields, pictures = _parse(self.headers.get("Content-Type", ""), body)
                missing = [name for name in NEEDED if not fields.get(name)]
                if missing:
                    return self._answer(200, {"success": False, "message": f"missing {missing}"})
                if any(len(data) > 1_000_000 or data[:2] != b"\xff\xd8" for data in pictures):
                    return self._answer(200, {"success": False, "message": "attach: JPEG of at most 1 MB"})
                number = vendor.save(fields, pictures)
                if mood == "drop":
                    self.close_connection = True
                    return self.connection.close()
                return self._answer(200, {"success": True, "recNum": number})

            def do_GET(self) -> None:
                vendor.calls.append("query")
                query = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
                found = [row for row in vendor.records.values() if _fits(row, query)]
                page = int(query.get("page", "1"))
                some = found[(page - 1) * 2 : page * 2]
                rows = [{key: row[key] for key in ("otherTaskNum", "recNum", "state")} for row in some]
                self._answer(200, {"records": rows, "hasMore": len(found) > page * 2})

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def save(self, fields: dict[str, str], pictures: list[bytes]) -> str:
        # A platform of this kind makes a second record of a second call: never calling twice is our affair.
        number = f"LS{next(self._numbers):06d}"
        today = datetime.now(ZoneInfo("Asia/Shanghai")).date().isoformat()
        self.records[number] = {**fields, "recNum": number, "state": "受理", "day": today, "pictures": pictures}
        return number

    def close(self) -> None:
        self._server.shutdown()


def _fits(row: dict[str, Any], query: dict[str, str]) -> bool:
    if "otherTaskNum" in query:
        return bool(row["otherTaskNum"] == query["otherTaskNum"])
    return bool(row["day"] == query.get("createDate"))


def _parse(content_type: str, body: bytes) -> tuple[dict[str, str], list[bytes]]:
    kind, options = parse_options_header(content_type)
    if kind == b"application/x-www-form-urlencoded":
        return {key: values[0] for key, values in parse_qs(body.decode()).items()}, []
    fields: dict[str, str] = {}
    pictures: list[bytes] = []
    for part in body.split(b"--" + options[b"boundary"])[1:-1]:
        head, _, data = part.strip(b"\r\n").partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]+)"', head)
        if b"filename=" in head:
            pictures.append(data)
        elif name:
            fields[name[1].decode()] = data.decode()
    return fields, pictures
