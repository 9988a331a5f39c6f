"""What reviewers said, as lessons: from the case API or a file of its pages, with the patrols' own mosaics."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from inference.training.learn import Verdict
from yunxun.errors import YunxunError
from yunxun.workspace import PatrolFolder

PAGE = 200
# A thing that is lawful, on record or known elsewhere is there all the same: the network was right to see it.
REAL_REASONS = ("lawful", "on_record", "already_on_platform")
FALSE_REASONS = ("not_a_problem",)


@dataclass(frozen=True)
class Lessons:
    """Verdicts that can be learnt from, and why others cannot."""

    verdicts: tuple[Verdict, ...]
    left_out: dict[str, int]


def fetch_reviews(api_url: str, token: str) -> list[dict[str, Any]]:
    """All decided candidates of the API, by its pages.

    Raises:
        YunxunError: It cannot be reached, or refuses.
    """
    items: list[dict[str, Any]] = []
    cursor: str | None = None
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=api_url.rstrip("/"), headers=headers, timeout=30.0) as client:
        while True:
            query: dict[str, str | int] = {"state": "accepted,rejected", "limit": PAGE}
            if cursor:
                query["cursor"] = cursor
            try:
                answer = client.get("/api/v1/candidates", params=query)
            except httpx.TransportError as error:
                raise YunxunError(f"{api_url} cannot be reached: {error}; is `yunxun serve` running?") from error
            if not answer.is_success:
                raise YunxunError(
                    f"{api_url} refused the reviews with {answer.status_code}: "
                    f"{answer.text[:160]}; get a token with `yunxun token --role reviewer`"
                )
            page = answer.json()
            items += page["items"]
            cursor = page.get("next")
            if not cursor:
                return items


def read_reviews(path: Path) -> list[dict[str, Any]]:
    """Decided candidates from a file: a list of them, or a page of `GET /api/v1/candidates` as it came.

    Raises:
        YunxunError: It is neither.
    """
    try:
        body = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise YunxunError(f"{path} cannot be read as reviews: {error}") from error
    items = body.get("items") if isinstance(body, dict) else body
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise YunxunError(f"{path}: expected a list of candidates, or an object with `items`, as the API gives them")
    return items


def patrol_folders(root: Path) -> dict[str, PatrolFolder]:
    """Patrol folders below `root` by patrol id."""
    found = {}
    for record in sorted(root.rglob("patrol.json")):
        folder = PatrolFolder(record.parent)
        known = folder.read_record()
        if known is not None and folder.mosaic.is_file():
            found[known.patrol_id] = folder
    return found


def _baseline(folder: PatrolFolder) -> Path | None:
    record = folder.read_record()
    if record is None or record.baseline is None:
        return None
    # Kept as it was typed: seen from where the command ran, or from beside the patrol where folders were moved.
    for path in (Path(record.baseline), folder.root.parent / Path(record.baseline).name):
        mosaic = path if path.is_file() else PatrolFolder(path).mosaic
        if mosaic.is_file():
            return mosaic
    return None


def _why_not(item: dict[str, Any], folders: dict[str, PatrolFolder]) -> str | None:
    """Why a candidate teaches nothing, or None."""
    state, reason = item.get("state"), item.get("reason")
    if state not in ("accepted", "rejected"):
        return "not decided"
    if state == "accepted" and item.get("platform_reason"):
        return "accepted here, refused or returned by the platform"
    if state == "rejected" and reason not in (*REAL_REASONS, *FALSE_REASONS):
        return f"rejected as {reason}: says neither that it is there nor that it is not"
    if item.get("patrol_id") not in folders:
        return "the patrol's folder or mosaic is not there"
    return None


def lessons_of(items: Iterable[dict[str, Any]], patrols: Path) -> Lessons:
    """Verdicts with the mosaics they were given on.

    Args:
        items: Candidates as the API gives them.
        patrols: Folder that holds the patrols' folders.

    Raises:
        YunxunError: A candidate lacks what every candidate has.
    """
    folders = patrol_folders(patrols)
    verdicts: list[Verdict] = []
    left_out: dict[str, int] = {}
    for number, item in enumerate(items, start=1):
        why = _why_not(item, folders)
        if why is not None:
            left_out[why] = left_out.get(why, 0) + 1
            continue
        folder = folders[item["patrol_id"]]
        try:
            verdict = Verdict(
                candidate_id=item["id"],
                family=item["family"],
                label=item["label"],
                accepted=item["state"] == "accepted" or item["reason"] in REAL_REASONS,
                geometry=item["geometry"],
                mosaic=folder.mosaic,
                baseline=_baseline(folder),
            )
        except KeyError as error:
            raise YunxunError(f"review {number} has no {error}: export them again from the API") from error
        verdicts.append(verdict)
    return Lessons(tuple(verdicts), left_out)
