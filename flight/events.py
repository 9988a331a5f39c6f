"""What an operation tells while it runs: small typed events, for a progress table, a log or a screen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from missions.plan import Sortie

Phase = Literal["before", "uploading", "preflight", "flying", "landed", "failed"]
SortieOutcome = Literal["landed", "failed", "refused"]


@dataclass(frozen=True)
class SortieEvent:
    """A sortie changed its phase. `before` comes ahead of the home check, once for each sortie.

    Attributes:
        phase: Where it stands.
        sortie: The plan's sortie.
        system_id: The vehicle's.
        url: The vehicle's link.
        why: Reason of a failure, else "".
        tlog: Its telemetry log, once it is being written.
        captures: Its capture log, when landed.
    """

    phase: Phase
    sortie: Sortie
    system_id: int
    url: str
    why: str = ""
    tlog: Path | None = None
    captures: Path | None = None


@dataclass(frozen=True)
class TransferEvent:
    """Items of a mission, fence or rally that went over."""

    sortie_id: str
    system_id: int
    done: int
    total: int
    what: str


@dataclass(frozen=True)
class ProgressEvent:
    """A vehicle in flight, about once a second of its own clock.

    Attributes:
        item: The mission item being flown, of `items`.
        battery: Share remaining, NaN where unknown.
        flown_s: Seconds since take-off by the vehicle's clock.
        link_age_s: Seconds since its last packet.
        guard: What the guard is doing about it, "" where nothing.
        heading_deg: Where its nose points, NaN where unknown.
    """

    sortie_id: str
    system_id: int
    mode: str
    item: int
    items: int
    lon: float
    lat: float
    height_rel_m: float
    speed_mps: float
    battery: float
    photos: int
    flown_s: float
    link_age_s: float
    guard: str = ""
    heading_deg: float = float("nan")


@dataclass(frozen=True)
class TextEvent:
    """A line that the autopilot, the guard or a person said; severity 0 emergency .. 7 debug."""

    sortie_id: str
    system_id: int
    severity: int
    text: str


@dataclass(frozen=True)
class CheckEvent:
    """One preflight check of one vehicle."""

    sortie_id: str
    system_id: int
    name: str
    grade: str
    detail: str


FlightEvent = SortieEvent | TransferEvent | ProgressEvent | TextEvent | CheckEvent


@dataclass(frozen=True)
class SortieResult:
    """How a sortie ended.

    Attributes:
        sortie_id: `<patrol>/S01`.
        state: landed with its mission flown to the end; failed; or refused before take-off.
        why: Reason, "" when landed.
        system_id: Vehicle that flew it.
        tlog: Telemetry log, None where it never came to one.
        captures: Capture log.
        photos: Photographs in it.
        photos_missing: Photographs that the camera counts and no report could be had of.
        duration_s: Take-off to disarming by the vehicle's clock.
        energy_wh: Drawn from the battery, NaN where the vehicle does not measure it.
        last_item: Last mission item it flew to, for a resume.
        landing_offset_m: Distance of the landing from the sortie's home, NaN where it is not known to have landed.
    """

    sortie_id: str
    state: SortieOutcome
    why: str
    system_id: int
    tlog: Path | None = None
    captures: Path | None = None
    photos: int = 0
    photos_missing: int = 0
    duration_s: float = 0.0
    energy_wh: float = float("nan")
    last_item: int = 0
    landing_offset_m: float = float("nan")


@dataclass(frozen=True)
class FlightResult:
    """A whole operation, sorties in plan order."""

    sorties: tuple[SortieResult, ...]

    @property
    def failed(self) -> tuple[SortieResult, ...]:
        """Sorties that did not land with their mission done."""
        return tuple(result for result in self.sorties if result.state != "landed")
