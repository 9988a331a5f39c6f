"""Bodies are limited while they are read, whatever their headers say."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import problem


class _TooLargeError(Exception):
    pass


def _too_large(limit: int) -> ASGIApp:
    return problem(413, "too-large", "内容过大", f"at most {limit} bytes are taken in one request")


class LimitBody:
    """ASGI middleware: 413 beyond `body` bytes, or `upload` times 64 files for multipart."""

    def __init__(self, app: ASGIApp, body: int, upload: int) -> None:
        self._app = app
        self._body = body
        self._upload = upload * 64

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Counts what is received."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        multipart = headers.get(b"content-type", b"").startswith(b"multipart/form-data")
        limit = self._upload if multipart else self._body
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > limit:
            await _too_large(limit)(scope, receive, send)
            return
        seen, started = 0, False

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise _TooLargeError
            return message

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, counted, watched)
        except _TooLargeError:
            if not started:
                await _too_large(limit)(scope, receive, send)
