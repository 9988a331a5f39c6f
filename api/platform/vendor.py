"""The vendor's save-record call as an HTTP client: form fields of its own naming, pictures as files beside them.

The seam where the outside begins: what the vendor calls things stands here and nowhere else. Field names are those of
a recorded call of such a platform; the ids behind them are a city's own and come from `platform_lookups`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

from api.errors import ApiError


class PlatformError(ApiError):
    """The platform did not take a record; `again` says whether a later try may succeed."""

    status = 502
    slug = "platform"
    title = "平台未接收"

    def __init__(self, message: str, *, again: bool) -> None:
        super().__init__(message)
        self.again = again


# A city files some thousand cases a day; a list that goes on beyond this is a fault of theirs.
MOST_PAGES = 5000


@dataclass(frozen=True)
class Held:
    """A record that the platform holds under one of our numbers."""

    our_no: str
    their_no: str
    state: str


class VendorClient:
    """Talks to one platform.

    Args:
        base_url: Of its interface.
        token: Sent as a bearer token.
        timeout_s: For one call with its pictures.
    """

    def __init__(self, base_url: str, token: str, timeout_s: float = 30.0) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self._client = httpx.Client(base_url=base_url, headers=headers, timeout=timeout_s)

    def save(self, record: dict[str, str], pictures: dict[str, bytes]) -> str:
        """Saves one record; gives the platform's number. The same `otherTaskNum` again gives the same number.

        Raises:
            PlatformError: Not taken.
        """
        files = [("attach", (f"{name}.jpg", data, "image/jpeg")) for name, data in pictures.items()]
        answer = self._ask("POST", "/rec/saveRec", data=record, files=files or None)
        number = answer.get("recNum") or answer.get("taskNum")
        if not answer.get("success") or not number:
            said = str(answer.get("message") or answer)[:200]
            raise PlatformError(f"the platform refused {record['otherTaskNum']}: {said}", again=False)
        return str(number)

    def find(self, our_no: str) -> Held | None:
        """What the platform holds under our number, if anything."""
        found = self._ask("GET", "/rec/query", params={"otherTaskNum": our_no}).get("records") or []
        return _held(found[0]) if found else None

    def list_day(self, day: str) -> list[Held]:
        """All records of ours that the platform filed on a local day (2026-11-22)."""
        held: list[Held] = []
        for page in range(1, MOST_PAGES + 1):
            answer = self._ask("GET", "/rec/query", params={"createDate": day, "page": str(page)})
            held += [_held(row) for row in answer.get("records") or []]
            if not answer.get("hasMore"):
                return held
        raise PlatformError(f"the platform's list of {day} does not end after {MOST_PAGES} pages", again=True)

    def _ask(self, method: str, path: str, **kwargs: Any) -> dict[str, Any]:
        try:
            answer = self._client.request(method, path, **kwargs)
        except httpx.HTTPError as error:
            raise PlatformError(f"the platform does not answer ({type(error).__name__})", again=True) from error
        if answer.status_code >= 500 or answer.status_code == 429:
            raise PlatformError(f"the platform answers {answer.status_code}", again=True)
        try:
            found = answer.json()
        except ValueError as error:
            raise PlatformError(f"the platform's answer ({answer.status_code}) is not JSON", again=True) from error
        if answer.status_code >= 400 or not isinstance(found, dict):
            raise PlatformError(f"the platform refuses ({answer.status_code}): {str(found)[:200]}", again=False)
        return found


def _held(row: dict[str, Any]) -> Held:
    return Held(str(row["otherTaskNum"]), str(row["recNum"]), str(row.get("state", "")))
