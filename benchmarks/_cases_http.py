"""A lean HTTP/1.1 client for `benchmarks/cases.py`: on two shared cores httpx would be what is measured.

httpx spends about a millisecond of CPU on a request, several times what a request may cost the server here. This one
writes bytes and reads `Content-Length` ones; nothing else is understood.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    content: bytes

    def json(self) -> Any:
        return json.loads(self.content)


def head(method: str, path: str, token: str, params: dict[str, Any] | None, body: bytes, key: str | None) -> bytes:
    query = f"?{urlencode(params)}" if params else ""
    extra = f"Idempotency-Key: {key}\r\n" if key else ""
    kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
    return (
        f"{method} {path}{query} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n{extra}{kind}\r\n"
    ).encode() + body


def length_of(headers: bytes) -> int:
    lower = headers.lower()
    at = lower.find(b"content-length:")
    if at < 0:
        raise RuntimeError(f"an answer without a length: {headers[:200]!r}")
    return int(lower[at + 15 : lower.index(b"\r\n", at)])


class Wire:
    """One connection, blocking."""

    def __init__(self, port: int, token: str) -> None:
        self._port, self._token, self._left = port, token, b""
        self._open()

    def _open(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._used_s = time.monotonic()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def get(self, path: str, params: dict[str, Any] | None = None) -> Answer:
        return self._ask(head("GET", path, self._token, params, b"", None))

    def post(self, path: str, value: Any, key: str | None = None) -> Answer:
        return self._ask(head("POST", path, self._token, None, json.dumps(value).encode(), key))

    def _ask(self, request: bytes) -> Answer:
        # The server closes what was idle for five seconds.
        if time.monotonic() - self._used_s > 2.0:
            self._socket.close()
            self._open()
        self._socket.sendall(request)
        data = self._left
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._more()
        parts, size = [data[end + 4 :]], length_of(data[: end + 2])
        got = len(parts[0])
        while got < size:
            parts.append(self._more())
            got += len(parts[-1])
        body = b"".join(parts)
        self._left, self._used_s = body[size:], time.monotonic()
        return Answer(int(data[9:12]), body[:size])

    def _more(self) -> bytes:
        chunk = self._socket.recv(262_144)
        if not chunk:
            raise RuntimeError("the server closed the connection")
        return chunk


class AsyncWire:
    """One connection on the event loop."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str, token: str, params: dict[str, Any] | None = None) -> Answer:
        return await self._ask(head("GET", path, token, params, b"", None))

    async def post(self, path: str, token: str, value: Any, key: str | None = None) -> Answer:
        return await self._ask(head("POST", path, token, None, json.dumps(value).encode(), key))

    async def _ask(self, request: bytes) -> Answer:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=2**24)
        reader, writer = self._streams
        writer.write(request)
        headers = await reader.readuntil(b"\r\n\r\n")
        return Answer(int(headers[9:12]), await reader.readexactly(length_of(headers)))

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
