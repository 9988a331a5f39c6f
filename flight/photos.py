"""Photographs of a sortie as the vehicle reports them; reports that a radio lost are asked for again by their index."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flight.capturelog import Capture, Fix, format_captures, write_captures
from flight.state import Gps
from flight.vehicle import Vehicle
from flight.wire import Packet

_CAPTURED = mavlink.MAVLINK_MSG_ID_CAMERA_IMAGE_CAPTURED
_FEEDBACK = mavlink.MAVLINK_MSG_ID_CAMERA_FEEDBACK
_STATUS = mavlink.MAVLINK_MSG_ID_CAMERA_CAPTURE_STATUS
# Where the receiver does not say how good it is: a single-frequency fix in the open.
_STD_H_M, _STD_V_M = 1.5, 3.0
_RTK_FIXED = 6
# Times before this are seconds since boot, not UTC.
_LEAST_UNIX_US = 1_000_000_000_000_000


def camera_angles_deg(q: Sequence[float]) -> tuple[float, float, float]:
    """Roll, pitch and yaw of a quaternion (w, x, y, z); looking straight down, roll is 0 and yaw is all of it."""
    w, x, y, z = q
    norm = math.sqrt(w * w + x * x + y * y + z * z)
    if norm < 1e-6:
        return 0.0, -90.0, 0.0
    w, x, y, z = w / norm, x / norm, y / norm, z / norm
    sine = max(-1.0, min(1.0, 2 * (w * y - z * x)))
    if abs(sine) > 0.99999:
        yaw = math.atan2(-(2 * (x * y - w * z)), 1 - 2 * (x * x + z * z))
        return 0.0, math.copysign(90.0, sine), math.degrees(yaw) % 360
    roll = math.atan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y))
    yaw = math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    pitch = math.asin(sine)
    if abs(roll) > math.pi / 2:
        # The same attitude told the other way round: past nadir by a little, not upside down.
        roll, pitch, yaw = roll - math.copysign(math.pi, roll), math.copysign(math.pi, pitch) - pitch, yaw + math.pi
    return math.degrees(roll), math.degrees(pitch), math.degrees(yaw) % 360


def _fix_of(gps: Gps | None) -> Fix:
    if gps is None or gps.fix_type < 3:
        return "none"
    return "rtk" if gps.fix_type == _RTK_FIXED else "3d"


class PhotoLog:
    """Collects one sortie's captures from a vehicle and appends them to a file as they come."""

    def __init__(
        self, vehicle: Vehicle, path: Path, sortie_id: str, base_index: int | None, earlier: Sequence[Capture] = ()
    ) -> None:
        self._vehicle = vehicle
        self._path = path
        self._sortie_id = sortie_id
        self._base = base_index
        self._earlier = tuple(earlier)  # of the same sortie on an earlier battery
        self._by_index: dict[int, Capture] = {}
        self._pending: list[Capture] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(format_captures(self._earlier), encoding="utf-8")
        vehicle.listeners.append(self._packet)

    @property
    def count(self) -> int:
        """Photographs known so far."""
        return len(self._earlier) + len(self._by_index)

    def _packet(self, packet: Packet, now_s: float) -> None:
        if packet.msg_id == _CAPTURED:
            if packet.fields.capture_result == 1:
                self._keep(self._from_captured(packet.fields))
        elif packet.msg_id == _FEEDBACK:
            self._keep(self._from_feedback(packet.fields))

    def _keep(self, capture: Capture) -> None:
        if self._base is None:
            self._base = capture.index - 1
        known = self._by_index.get(capture.index)
        if capture.index <= self._base or (known is not None and (known.file or not capture.file)):
            return  # an older photograph, a repeated report, or one that says less than what we have
        self._by_index[capture.index] = capture
        if known is None:
            self._pending.append(capture)

    def _common(self) -> dict[str, Any]:
        gps = self._vehicle.state.gps
        std_h_m = gps.std_h_m if gps and gps.std_h_m == gps.std_h_m else _STD_H_M
        std_v_m = gps.std_v_m if gps and gps.std_v_m == gps.std_v_m else _STD_V_M
        return {
            "sortie_id": self._sortie_id, "aircraft_id": str(self._vehicle.system_id), "fix": _fix_of(gps),
            "std_h_m": round(std_h_m, 3), "std_v_m": round(std_v_m, 3),
        }  # fmt: skip

    def _time(self, time_us: int) -> datetime:
        us = time_us if time_us > _LEAST_UNIX_US else self._vehicle.unix_us()
        return datetime.fromtimestamp(us * 1e-6, UTC)

    def _from_captured(self, f: Any) -> Capture:
        roll, pitch, yaw = camera_angles_deg(f.q)
        return Capture(
            time_utc=self._time(f.time_utc), index=f.image_index, file=PurePosixPath(urlsplit(f.file_url).path).name,
            lon=round(f.lon * 1e-7, 7), lat=round(f.lat * 1e-7, 7), alt_amsl_m=f.alt / 1e3,
            height_rel_m=f.relative_alt / 1e3,
            camera_roll_deg=round(roll, 3), camera_pitch_deg=round(pitch, 3), camera_yaw_deg=round(yaw, 3),
            **self._common(),
        )  # fmt: skip

    def _from_feedback(self, f: Any) -> Capture:
        # ArduPilot reports the airframe's attitude; a mapping camera without a gimbal looks down from it.
        return Capture(
            time_utc=self._time(f.time_usec), index=f.img_idx, lon=round(f.lng * 1e-7, 7),
            lat=round(f.lat * 1e-7, 7),
            alt_amsl_m=round(f.alt_msl, 2), height_rel_m=round(f.alt_rel, 2), camera_roll_deg=round(f.roll, 3),
            camera_pitch_deg=round(f.pitch - 90.0, 3), camera_yaw_deg=round(f.yaw % 360, 3), **self._common(),
        )  # fmt: skip

    def flush(self) -> None:
        """Appends what is new to the file."""
        if self._pending:
            text = format_captures(self._pending).split("\n", 1)[1]
            with self._path.open("a", encoding="utf-8") as file:
                file.write(text)
            self._pending.clear()

    def missing(self, until: int | None = None) -> list[int]:
        """Indexes not reported, up to the camera's own count where it is known."""
        if self._base is None:
            return []
        last = max(max(self._by_index, default=self._base), until or 0)
        return [index for index in range(self._base + 1, last + 1) if index not in self._by_index]

    async def ask_again(self) -> int:
        """Asks for the reports that are missing; returns how many could not be had."""
        status = await self._vehicle.request(_STATUS, tries=3)
        last = int(status.fields.image_count) if status is not None and status.fields.image_count > 0 else None
        for _ in range(3):
            missing = self.missing(last)
            for index in missing:
                await self._vehicle.request(_CAPTURED, index, tries=3)
        return len(self.missing(last))

    def close(self) -> list[Capture]:
        """Stops listening and writes the whole log in order, at once."""
        self._vehicle.listeners.remove(self._packet)
        captures = [*self._earlier, *(self._by_index[index] for index in sorted(self._by_index))]
        write_captures(self._path, captures)
        return captures


async def image_count(vehicle: Vehicle) -> int | None:
    """How many photographs the camera has taken since it was switched on; None where it does not say."""
    status = await vehicle.request(_STATUS, tries=2)
    return int(status.fields.image_count) if status is not None and status.fields.image_count >= 0 else None
