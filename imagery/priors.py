"""What the files claim, turned into priors with the trust each claim deserves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from imagery.bundle import Knowledge, State
from imagery.layout import Layout, Prior, look
from imagery.photo import Photo
from imagery.poses import Lens
from imagery.projection import LocalFrame, unknown_frame, utm_frame

Floats = NDArray[np.float64]

# A pause this long in one sortie folder or card means another take-off: its GPS bias is another one.
FLIGHT_PAUSE_S = 15 * 60.0
# Standard deviations (m) of a code-only receiver within a flight, and of its bias over flights (2 m shifts between
# flights are what users report; the height of one sample set is 70 m off).
GPS_SIGMA_M = 1.5
GPS_SIGMA_Z_M = 30.0
BAROMETER_SIGMA_M = 1.0
BIAS_SIGMA_M = 4.0
BIAS_SIGMA_Z_M = 100.0
RTK_SIGMA_M = 0.03
# Gimbals hold pitch and roll to a degree or two; the compass is worse; a camera without gimbal data swings.
GIMBAL_SIGMA_RAD = np.radians(2.0)
COMPASS_SIGMA_RAD = np.radians(8.0)
UNSTEADY_SIGMA_RAD = np.radians(12.0)
# Lens: principal point as a share of the width; radial terms of uncorrected compact lenses reach 0.3.
CENTRE_SHARE = 0.01
DISTORTION_SIGMA = (0.15, 0.15, 0.003, 0.003)
# The lens of an earlier day by the same camera: focus and temperature change it by about this.
KNOWN_LENS_SIGMA = (0.002, 0.001, 0.001, 0.004, 0.004, 0.0004, 0.0004)


@dataclass(frozen=True)
class Setting:
    """A set of frames before adjustment.

    Attributes:
        frame: The metric system.
        origin: (3,) metres taken off all coordinates within the adjustment.
        flight_of: (n,) flight numbers.
        flights: Number of flights.
        lens_of: (n,) lens numbers.
        lens: (l, 7) focal px, cx, cy, k1, k2, p1, p2 as guessed.
        lens_sigma: (l, 7).
        lens_keys: Name of each lens.
        gps: (n, 3) metres from the origin, NaN where unknown.
        gps_sigma: (n, 3).
        bias_sigma: (f, 3).
        height_reference: What z is measured from.
    """

    frame: LocalFrame
    origin: Floats
    flight_of: NDArray[np.int64]
    flights: int
    lens_of: NDArray[np.int64]
    lens: Floats
    lens_sigma: Floats
    lens_keys: tuple[str, ...]
    gps: Floats
    gps_sigma: Floats
    bias_sigma: Floats
    height_reference: Literal["amsl", "take-off"]


def set_up(photos: Sequence[Photo], crs: str | None = None) -> Setting:
    """Puts a set of photographs into one metric system (`crs`, else the UTM zone of the flight) with priors."""
    placed = [photo for photo in photos if photo.lon is not None and photo.lat is not None]
    frame = utm_frame([p.lon or 0.0 for p in placed], [p.lat or 0.0 for p in placed]) if placed else unknown_frame()
    frame = LocalFrame(crs) if crs and placed else frame
    flight_of, flights = flights_of(photos)
    gps = np.full((len(photos), 3), np.nan)
    for number, photo in enumerate(photos):
        if photo.lon is not None and photo.lat is not None:
            gps[number, :2] = frame.to_metres([photo.lon], [photo.lat])[0]
    gps[:, 2], z_sigma = _heights(photos, flight_of, flights)
    origin = np.array([*np.round(np.nanmedian(gps[:, :2], axis=0)), 0.0]) if placed else np.zeros(3)
    rtk = np.array([photo.fix == "rtk" for photo in photos])
    h_sigma = np.array([_sigma(photo.std_h_m, photo.fix, GPS_SIGMA_M) for photo in photos])
    lens_of, lens, lens_sigma, keys = _lenses(photos)
    bias = np.tile([BIAS_SIGMA_M, BIAS_SIGMA_M, BIAS_SIGMA_Z_M], (flights, 1))
    for flight in range(flights):
        own = flight_of == flight
        if rtk[own].mean() > 0.5:
            bias[flight] = RTK_SIGMA_M / 2
    relative = all(photo.alt_amsl_m is None for photo in photos)
    return Setting(
        frame,
        origin,
        flight_of,
        flights,
        lens_of,
        lens,
        lens_sigma,
        keys,
        gps - origin,
        np.column_stack([h_sigma, h_sigma, z_sigma]),
        bias,
        "take-off" if relative else "amsl",
    )


def _sigma(stated: float | None, fix: str, usual: float) -> float:
    if fix == "rtk":
        return max(stated or RTK_SIGMA_M, 0.01)
    return max(stated, 0.3) if stated else usual


def flights_of(photos: Sequence[Photo]) -> tuple[NDArray[np.int64], int]:
    """Flight number of every photograph: one a sortie and camera, cut at long pauses."""
    groups: dict[tuple[str, str], list[int]] = {}
    for number, photo in enumerate(photos):
        groups.setdefault((photo.sortie_id, photo.camera), []).append(number)
    result = np.zeros(len(photos), np.int64)
    flight = -1
    for members in groups.values():
        flight += 1
        timed = sorted(members, key=lambda n: (photos[n].time_utc is None, photos[n].time_utc or 0, n))
        previous = None
        for number in timed:
            now = photos[number].time_utc
            if previous is not None and now is not None and (now - previous).total_seconds() > FLIGHT_PAUSE_S:
                flight += 1
            previous = now or previous
            result[number] = flight
    return result, flight + 1


def _heights(photos: Sequence[Photo], flight_of: NDArray[np.int64], flights: int) -> tuple[Floats, Floats]:
    """Camera z and its sigma: the barometer's changes on the level of the stated altitude, flight by flight."""
    z, sigma = np.full(len(photos), np.nan), np.full(len(photos), np.inf)
    for flight in range(flights):
        own = np.flatnonzero(flight_of == flight)
        alt = np.array([_or_nan(photos[n].alt_amsl_m) for n in own.tolist()])
        relative = np.array([_or_nan(photos[n].height_rel_m) for n in own.tolist()])
        if np.isfinite(relative).all():
            level = np.nanmedian(alt - relative) if np.isfinite(alt).any() else 0.0
            z[own], sigma[own] = relative + level, BAROMETER_SIGMA_M
        elif np.isfinite(alt).any():
            z[own], sigma[own] = alt, np.where(np.isfinite(alt), GPS_SIGMA_Z_M, np.inf)
        for n in own.tolist():
            if photos[n].fix == "rtk" and photos[n].alt_amsl_m is not None:
                z[n], sigma[n] = float(photos[n].alt_amsl_m or 0.0), _sigma(photos[n].std_v_m, "rtk", 1.0)
    return z, sigma


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else value


def _lenses(photos: Sequence[Photo]) -> tuple[NDArray[np.int64], Floats, Floats, tuple[str, ...]]:
    """One lens a camera, image size and focal length (a zoom that moved is another lens)."""
    keys: dict[str, int] = {}
    of = np.zeros(len(photos), np.int64)
    lens, sigma = [], []
    for number, photo in enumerate(photos):
        name = photo.camera.split("|")[1] if "|" in photo.camera else photo.camera
        serial = photo.camera.rsplit("|", 1)[-1]
        focal = round(photo.focal_px / max(photo.width_px, photo.height_px), 3)
        key = f"{name or 'camera'} {serial} {photo.width_px}x{photo.height_px} {focal}".replace("  ", " ")
        if key not in keys:
            keys[key] = len(keys)
            width = max(photo.width_px, photo.height_px)
            lens.append([photo.focal_px, (photo.width_px - 1) / 2, (photo.height_px - 1) / 2, 0.0, 0.0, 0.0, 0.0])
            sigma.append(
                [photo.focal_sigma * photo.focal_px, CENTRE_SHARE * width, CENTRE_SHARE * width, *DISTORTION_SIGMA]
            )
        of[number] = keys[key]
    return of, np.array(lens), np.array(sigma), tuple(keys)


def remember_lenses(setting: Setting, know: Knowledge, earlier: Mapping[str, Lens]) -> Knowledge:
    """Lenses as an earlier block of the same cameras found them.

    A level block over level ground hardly tells focal length from height (4 % apart over two simulated days of one
    camera), and heights of buildings scale with it: what matters between days is that both use one lens.
    """
    lens, sigma = know.lens.copy(), know.lens_sigma.copy()
    for number, key in enumerate(setting.lens_keys):
        if key in earlier:
            old = earlier[key]
            lens[number] = (old.fx, old.cx, old.cy, old.k1, old.k2, old.p1, old.p2)
            sigma[number] = np.array(KNOWN_LENS_SIGMA) * (old.fx, old.fx, old.fx, 1.0, 1.0, 1.0, 1.0)
    return replace(know, lens=lens, lens_sigma=sigma)


def layout_priors(photos: Sequence[Photo], setting: Setting) -> list[Prior]:
    """What the layout may lean on."""
    result = []
    for number, photo in enumerate(photos):
        tilted = photo.pitch_deg is not None and photo.pitch_deg > -89.0
        pitch = max(-90.0, photo.pitch_deg) if tilted and photo.pitch_deg is not None else -90.0
        told_m = photo.height_by_laser_m or photo.height_rel_m
        height = told_m if told_m and told_m > 3.0 else np.nan
        x, y = setting.gps[number, :2]
        result.append(
            Prior(
                xy_m=(float(x), float(y)),
                sigma_m=float(np.hypot(setting.gps_sigma[number, 0], 1.0)),
                height_m=float(height),
                heading_rad=grid_heading(photo, setting),
                level=look(0.0, pitch, photo.roll_deg or 0.0),
            )
        )
    return result


def grid_heading(photo: Photo, setting: Setting) -> float:
    """The gimbal's heading from grid north, radians; NaN where unknown."""
    if photo.yaw_deg is None or photo.lon is None or photo.lat is None:
        return float("nan")
    return float(np.radians(photo.yaw_deg + setting.frame.grid_north_deg(photo.lon, photo.lat)))


def first_state(photos: Sequence[Photo], setting: Setting, layout: Layout, points: int) -> tuple[State, Knowledge]:
    """Starting values and priors of the adjustment; points are placed later.

    Args:
        photos: The frames.
        setting: Their priors.
        layout: The linear solve.
        points: Number of tie points.
    """
    count = len(photos)
    gps, sigma = setting.gps.copy(), setting.gps_sigma.copy()
    rotation, attitude, attitude_sigma = np.empty((count, 3, 3)), np.empty((count, 3, 3)), np.empty((count, 3))
    for number, (photo, prior) in enumerate(zip(photos, layout_priors(photos, setting), strict=True)):
        turn = look(float(layout.heading_rad[number]))[:2, :2]
        around = np.eye(3)
        around[:2, :2] = look(0.0)[:2, :2].T @ turn
        rotation[number] = prior.level @ around
        known = photo.pitch_deg is not None
        steady = GIMBAL_SIGMA_RAD if known else UNSTEADY_SIGMA_RAD
        heading = prior.heading_rad
        attitude[number] = rotation[number]
        attitude_sigma[number] = (steady, steady, np.inf)
        if np.isfinite(heading):
            attitude[number] = look(heading, photo.pitch_deg or -90.0, photo.roll_deg or 0.0)
            # A compass error is common to its flight (6.6 degrees on one set): many frames know no more than one.
            mates = np.sqrt(np.sum(setting.flight_of == setting.flight_of[number]))
            attitude_sigma[number] = (steady, steady, COMPASS_SIGMA_RAD * mates)
    unknown = ~np.isfinite(gps)
    ground = np.nanmedian(gps[:, 2] - layout.height_m) if np.isfinite(gps[:, 2]).any() else 0.0
    centre = np.column_stack([layout.xy_m, ground + layout.height_m])
    gps[unknown], sigma[unknown] = centre[unknown], np.inf
    bias = np.zeros((setting.flights, 3))
    for flight in range(setting.flights):
        own = (setting.flight_of == flight) & np.isfinite(sigma[:, 2])
        bias[flight, 2] = np.median((gps - centre)[own, 2]) if own.any() else 0.0
    knowledge = Knowledge(
        lens_of=setting.lens_of,
        flight_of=setting.flight_of,
        gps=gps,
        gps_sigma=sigma,
        R=attitude,
        R_sigma=attitude_sigma,
        lens=setting.lens,
        lens_sigma=setting.lens_sigma,
        bias_sigma=setting.bias_sigma,
        X=np.zeros((points, 3)),
        X_sigma=np.full((points, 3), np.inf),
        sure=np.zeros(points, bool),
    )
    return State(rotation, centre, setting.lens.copy(), np.zeros((points, 3)), bias), knowledge
