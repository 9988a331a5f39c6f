"""A survey flight without an aircraft: exposures along lanes over a town, with the errors that a real card carries.

For benchmarks and tests that need frames but no MAVLink: the vehicles of `simulators` write the same exposures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from missions.camera import Camera
from simulators.changes import Changes
from simulators.clutter import Clutter
from simulators.exposure import Exposure, append_exposure
from simulators.photographer import Progress, photograph
from simulators.sun import Sun
from simulators.town import Town, build_town

# A 2 MP camera with the proportions of a Phantom 4 RTK: small enough for thousands of frames.
CAMERA_2MP = Camera(model="FC6310R", width_px=1632, height_px=1224, focal_mm=8.8, sensor_width_mm=13.2)
START = datetime(2026, 5, 12, 2, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Errors:
    """What the aircraft does not know of itself.

    Attributes:
        noise_h_m: White position error of each photograph, a horizontal axis (1 sigma).
        drift_h_m: Slowly wandering error, a horizontal axis; together with the noise the receiver's accuracy.
        noise_v_m: Of its height.
        bias_v_m: Constant error of its height above the sea.
        attitude_deg: Spread of the true attitude about the commanded one.
        fix: What it says of itself.
    """

    noise_h_m: float = 0.4
    drift_h_m: float = 1.9
    noise_v_m: float = 0.8
    bias_v_m: float = 3.0
    attitude_deg: float = 1.2
    fix: str = "3d"

    @classmethod
    def plain(cls, horizontal_m: float = 2.0) -> Errors:
        """A receiver of `horizontal_m` (1 sigma an axis), mostly slow."""
        return cls(noise_h_m=0.2 * horizontal_m, drift_h_m=0.98 * horizontal_m)

    @classmethod
    def rtk(cls, horizontal_m: float = 0.02) -> Errors:
        """Fixed RTK."""
        return cls(horizontal_m * 0.7, horizontal_m * 0.7, horizontal_m * 1.5, 0.0, 1.2, "rtk")

    @classmethod
    def none(cls) -> Errors:
        """A perfect aircraft that hangs level: for measuring other things."""
        return cls(0.0, 0.0, 0.0, 0.0, 0.0, "rtk")


def survey(
    town: Town,
    camera: Camera = CAMERA_2MP,
    *,
    gsd_m: float = 0.08,
    front_overlap: float = 0.75,
    side_overlap: float = 0.65,
    pitch_deg: float = -90.0,
    azimuth_deg: float = 90.0,
    errors: Errors | None = None,
    seed: int = 0,
    start: datetime = START,
    most: int | None = None,
) -> list[Exposure]:
    """Exposures of a lawn-mower flight over the town proper, one lane beyond each side.

    Args:
        town: Where.
        camera: Decides height and spacing for `gsd_m`.
        gsd_m: On the ground's middle height.
        front_overlap: Share along a lane.
        side_overlap: Share between lanes.
        pitch_deg: -90 nadir; -60 looks ahead.
        azimuth_deg: Of the lanes; the camera's top points along the flight.
        errors: Of the receiver; the attitude that a photograph reports is the true one, rounded.
        seed: Of the errors.
        start: First photograph; one every two seconds.
        most: Stops after so many.
    """
    errors = errors or Errors.plain()
    rng = np.random.default_rng([seed, town.seed, 41])
    height = camera.height_for_gsd_m(gsd_m)
    lane, step = camera.lane_m(height, side_overlap), camera.trigger_m(height, front_overlap)
    turn = math.radians(azimuth_deg)
    along, across = (math.sin(turn), math.cos(turn)), (math.cos(turn), -math.sin(turn))
    reach_a = abs(town.size_m[0] / 2 * along[0]) + abs(town.size_m[1] / 2 * along[1])
    reach_b = abs(town.size_m[0] / 2 * across[0]) + abs(town.size_m[1] / 2 * across[1])
    lanes = max(2, math.ceil(2 * reach_b / lane) + 1)
    shots = max(2, math.ceil(2 * reach_a / step) + 1)
    wander = np.zeros(3)
    out: list[Exposure] = []
    for number in range(lanes):
        forth = 1 if number % 2 == 0 else -1
        for shot in range(shots):
            a = forth * (shot - (shots - 1) / 2) * step
            b = (number - (lanes - 1) / 2) * lane
            x, y = a * along[0] + b * across[0], a * along[1] + b * across[1]
            # A wander with a memory of about a minute.
            wander = wander * 0.967 + rng.normal(0, 1, 3) * math.sqrt(1 - 0.967**2)
            out.append(
                _exposure(
                    town, rng, errors, wander, len(out) + 1, (x, y, height),
                    (pitch_deg, azimuth_deg + (0 if forth > 0 else 180)), start,
                )
            )  # fmt: skip
            if most is not None and len(out) >= most:
                return out
    return out


def _exposure(
    town: Town, rng: np.random.Generator, errors: Errors, wander: np.ndarray, index: int,
    place: tuple[float, float, float], aim: tuple[float, float], start: datetime,
) -> Exposure:  # fmt: skip
    x, y, height = place
    x, y = x + float(rng.normal(0, 0.15)), y + float(rng.normal(0, 0.15))
    up = height + float(rng.normal(0, 0.2))
    spread = errors.attitude_deg
    roll, pitch = float(rng.normal(0, spread)), aim[0] + float(rng.normal(0, spread))
    yaw = aim[1] + float(rng.normal(0, spread * 1.5))
    off = wander * (errors.drift_h_m, errors.drift_h_m, errors.noise_v_m)
    off = off + rng.normal(0, 1, 3) * (errors.noise_h_m, errors.noise_h_m, errors.noise_v_m * 0.3)
    lon, lat = town.lonlat(x, y)
    seen_lon, seen_lat = town.lonlat(x + off[0], y + off[1])
    altitude = town.base_alt_amsl_m + up
    heading = math.radians(aim[1])
    return Exposure(
        index=index, file=f"DJI_{index:04d}.JPG", time_utc=start + timedelta(seconds=2 * index), system_id=1,
        true_lon=lon, true_lat=lat, true_alt_amsl_m=altitude, camera_roll_deg=roll, camera_pitch_deg=pitch,
        camera_yaw_deg=yaw % 360, lon=seen_lon, lat=seen_lat, alt_amsl_m=altitude + errors.bias_v_m + float(off[2]),
        height_rel_m=up + float(off[2]) * 0.3, speed_north_mps=8 * math.cos(heading),
        speed_east_mps=8 * math.sin(heading), fix=errors.fix,
        std_h_m=max(0.005, math.hypot(errors.noise_h_m, errors.drift_h_m)), std_v_m=max(0.01, errors.noise_v_m),
    )  # fmt: skip


def write_patrol(
    folder: Path,
    seed: int,
    *,
    size_m: tuple[float, float] = (400.0, 400.0),
    gsd_m: float = 0.08,
    camera: Camera = CAMERA_2MP,
    errors: Errors | None = None,
    changes: Changes | None = None,
    seasons: tuple[str, str] = ("summer", "summer"),
    suns: tuple[Sun, Sun] | None = None,
    rich: bool = False,
    processes: int = 2,
    progress: Progress | None = None,
) -> Path:
    """A town on two days as photographs with their truth: for benchmarks that judge the whole pipeline.

    Writes `day0/frames/S01/*.JPG`, `day1/frames/S01/*.JPG`, `day1/truth.geojson`, `day1/permits.geojson`,
    `area.geojson`, and each day's exposures (`exposures.csv`, with the true positions).

    Args:
        folder: Made if need be; a day whose photographs are all there is kept.
        seed: Of the town, its days and the flight.
        size_m: Of the town proper.
        gsd_m: Of the photographs.
        camera: Of the aircraft.
        errors: Of the aircraft; a plain 2 m receiver when None.
        changes: Of the second day; a busy one when None.
        seasons: Of the two days.
        suns: Of the two days; drawn when None.
        rich: With clutter that moves, roofs of every material and more kinds of dumps, as in training scenes.
        processes: Worker processes.
        progress: Called with (done, total, what).
    """
    town, clutter = build_town(seed, size_m=size_m), None
    wanted = changes or Changes.many(seed)
    if rich:
        town, clutter, wanted = town.restyled(seed), Clutter(seed), replace(wanted, rich=True, lenient=True)
    for k in (0, 1):
        sun = suns[k] if suns else None
        day = town.day(k, sun=sun, season=seasons[k], changes=wanted if k else None, clutter=clutter)
        here = folder / f"day{k}"
        shots = survey(
            town, camera, gsd_m=gsd_m, errors=errors, seed=seed * 10 + k, start=START + timedelta(days=30 * k)
        )
        frames = here / "frames" / "S01"
        if k:
            day.write_truth(here / "truth.geojson")
            day.write_permits(here / "permits.geojson", START)
        else:
            day.write_area(folder / "area.geojson")
        if all((frames / shot.file).exists() for shot in shots):
            continue
        (here / "exposures.csv").unlink(missing_ok=True)
        for shot in shots:
            append_exposure(here / "exposures.csv", shot)
        photograph(shots, day, camera, frames, seed=seed * 10 + k, processes=processes, progress=progress)
    return folder
