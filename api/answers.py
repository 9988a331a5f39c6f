"""JSON answers of the routes that are asked most: orjson writes them several times faster than the standard library."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi.responses import JSONResponse


class FastJson(JSONResponse):
    """`application/json` of what is plain already: dicts, lists, texts, numbers."""

    def render(self, content: Any) -> bytes:
        """Bytes; what orjson does not take (an integer beyond 64 bits) the standard library writes."""
        try:
            return orjson.dumps(content)
        except TypeError:
            return bytes(super().render(content))
