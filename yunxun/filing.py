"""Files candidates with the case API: written to a spool first, sent until accepted, never twice.

The idempotency key is the hash of what is sent, so a repeat after a lost answer gets the first answer again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from inference.sites import SiteCollection, read_sites
from missions.files import write_text_atomically
from yunxun.errors import YunxunError

# One request carries at most this many features: a body of about 1 MB, answered within a second.
FEATURES_A_REQUEST = 500
RETRY_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
PATIENT_STATUS = {408, 409, 425, 429, 500, 502, 503, 504}


class ApiUnreachableError(YunxunError):
    """The API could not be reached or was not ready; what was to be filed stays in the spool."""


@dataclass
class FilingResult:
    """What became of a filing.

    Attributes:
        filed: Features the API accepted, now or in an earlier run.
        spooled: Features still waiting on disk.
        answers: The API's answers, one a request.
    """

    filed: int = 0
    spooled: int = 0
    answers: list[dict[str, Any]] = field(default_factory=list)


def file_sites(path: Path, api_url: str, token: str, spool_dir: Path, *, patience_s: float = 60.0) -> FilingResult:
    """Files `sites.geojson`; what cannot be delivered within `patience_s` waits in the spool for the next call.

    Raises:
        YunxunError: The API refused it (wrong token, malformed); nothing of it stays in the spool.
        InferenceError: `path` is not a collection of candidates.
    """
    collection = read_sites(path)
    base = api_url.rstrip("/")
    result = FilingResult()
    with httpx.Client(base_url=base, headers={"Authorization": f"Bearer {token}"}, timeout=30.0) as client:
        for parcel in _spool(collection, base, spool_dir):
            count = len(json.loads(parcel.read_text("utf-8"))["body"]["features"])
            try:
                result.answers.append(_deliver(client, parcel, patience_s))
                result.filed += count
            except ApiUnreachableError:
                result.spooled += count
                patience_s = 0.0
    return result


def _spool(collection: SiteCollection, base: str, spool_dir: Path) -> Iterator[Path]:
    """Writes the parcels of this collection, then yields all that wait for this API, oldest first."""
    for start in range(0, max(len(collection.features), 1), FEATURES_A_REQUEST):
        part = collection.model_copy(update={"features": collection.features[start : start + FEATURES_A_REQUEST]})
        body = json.loads(part.model_dump_json())
        canonical = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        key = hashlib.sha256(f"{base}\n{canonical}".encode()).hexdigest()
        parcel = spool_dir / f"{key}.json"
        if not parcel.exists():
            write_text_atomically(parcel, json.dumps({"api": base, "key": key, "body": body}, ensure_ascii=False))
    for parcel in sorted(spool_dir.glob("*.json"), key=lambda p: p.stat().st_mtime_ns):
        if json.loads(parcel.read_text("utf-8"))["api"] == base:
            yield parcel


def _deliver(client: httpx.Client, parcel: Path, patience_s: float) -> dict[str, Any]:
    content = json.loads(parcel.read_text("utf-8"))
    give_up = time.monotonic() + patience_s
    for attempt in range(1_000_000):
        why = ""
        try:
            answer = client.post("/api/v1/sites", json=content["body"], headers={"Idempotency-Key": content["key"]})
            if answer.status_code not in PATIENT_STATUS:
                parcel.unlink()
                return _accepted(answer)
            why = f"it answered {answer.status_code}"
        except httpx.TransportError as error:
            why = str(error) or type(error).__name__
        pause_s = RETRY_S[min(attempt, len(RETRY_S) - 1)]
        if time.monotonic() + pause_s > give_up:
            raise ApiUnreachableError(f"the API at {content['api']} could not take it ({why}); kept in {parcel}")
        time.sleep(pause_s)
    raise AssertionError("unreachable")


def _accepted(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        body = {}
    if answer.is_success and isinstance(body, dict):
        return body
    detail = body.get("detail") or body.get("title") if isinstance(body, dict) else None
    remedy = {401: "; get one with `yunxun token --role reviewer`", 403: "; the token's role may not file"}
    raise YunxunError(
        f"{answer.request.url} refused the filing with {answer.status_code}: "
        f"{detail or answer.text[:200] or answer.reason_phrase}{remedy.get(answer.status_code, '')}"
    )
