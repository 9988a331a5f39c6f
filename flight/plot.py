"""A recorded flight as a picture: the way over ground with its photographs, height, speed and battery over time."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from flight.logs import Track, captures_beside, read_track, tlogs_of

_MODE_COLOURS = {"AUTO": "#2a7fb8", "GUIDED": "#d98c1f", "RTL": "#7a4fa3", "LAND": "#9c4545", "LOITER": "#c23b3b"}
_GREY = "#8a8f98"
_BATTERY = "#3a9a5b"


def plot_flight(path: Path, out: Path) -> Path:
    """Draws a flight's logs into one PNG.

    Args:
        path: A flight's folder, or one .tlog.
        out: The PNG to write.

    Raises:
        FlightError: No log, or one without positions.
    """
    from matplotlib.figure import Figure  # heavy: only who draws pays for it

    logs = [(tlog, read_track(tlog)) for tlog in tlogs_of(path)]
    figure = Figure(figsize=(12, 3.6 * len(logs)), layout="constrained")
    axes: Any = figure.subplots(len(logs), 2, width_ratios=(1, 1.7), squeeze=False)
    for (tlog, track), (ground, course) in zip(logs, axes, strict=True):
        _draw_ground(ground, tlog, track)
        _draw_course(course, track)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.tmp")
    figure.savefig(temporary, dpi=110, format="png")
    temporary.replace(out)
    return out


def _metres(track: Track, lon: list[float], lat: list[float]) -> tuple[list[float], list[float]]:
    east = 111_320.0 * math.cos(math.radians(track.lat[0]))
    return [(x - track.lon[0]) * east for x in lon], [(y - track.lat[0]) * 111_320.0 for y in lat]


def _mode_at(track: Track, seconds: float) -> str:
    mode = ""
    for since, name in track.modes:
        if since > seconds:
            break
        mode = name
    return mode


def _draw_ground(axis: Any, tlog: Path, track: Track) -> None:
    x, y = _metres(track, track.lon, track.lat)
    begun = 0
    shown: set[str] = set()
    changes = [since for since, _ in track.modes] + [math.inf]
    for change in changes[1:]:
        end = next((n for n, s in enumerate(track.seconds) if s >= change), len(x) - 1)
        mode = _mode_at(track, track.seconds[min(begun + 1, len(x) - 1)])
        label = mode if mode not in shown else None
        shown.add(mode)
        axis.plot(x[begun : end + 1], y[begun : end + 1], color=_MODE_COLOURS.get(mode, _GREY), lw=1.4, label=label)
        begun = end
    captures = captures_beside(tlog)
    if captures:
        px, py = _metres(track, [c.lon for c in captures], [c.lat for c in captures])
        axis.plot(px, py, ".", color="#222", ms=2.5, label=f"{len(captures)} photographs")
    axis.plot([0], [0], "^", color="#222", ms=7)
    axis.set_aspect("equal", adjustable="datalim")
    axis.set(title=f"{tlog.stem}   {track.distance_m:.0f} m", xlabel="east of take-off, m", ylabel="north, m")
    axis.grid(alpha=0.25)
    axis.legend(fontsize=7, loc="best", framealpha=0.8)


def _draw_course(axis: Any, track: Track) -> None:
    axis.fill_between(track.seconds, track.height_rel_m, color="#2a7fb8", alpha=0.18, lw=0)
    axis.plot(track.seconds, track.height_rel_m, color="#2a7fb8", lw=1.4, label="height above take-off, m")
    axis.plot(track.seconds, track.speed_mps, color=_MODE_COLOURS["GUIDED"], lw=0.9, label="ground speed, m/s")
    top = max(*track.height_rel_m, 1.0) * 1.22
    for seconds, mode in track.modes:
        axis.axvline(seconds, color=_GREY, lw=0.6, ls=":")
        axis.text(seconds, top, f" {mode}", rotation=90, va="top", ha="left", fontsize=7, color="#555")
    for seconds, severity, text in track.texts:
        if severity <= 4:
            axis.annotate(text, (seconds, 0), xytext=(seconds, top * 0.45), fontsize=6.5, color="#c23b3b", rotation=90)
    axis.set(xlabel="seconds", ylim=(0, top), xlim=(0, track.seconds[-1] or 1))
    axis.legend(fontsize=7, loc="upper center", framealpha=0.85)
    axis.grid(alpha=0.25)
    battery = axis.twinx()
    battery.plot(track.seconds, [share * 100 for share in track.battery], color=_BATTERY, lw=1.2)
    battery.set(ylim=(0, 105))
    battery.set_ylabel("battery, %", color=_BATTERY)
    if track.begun_utc is not None:
        axis.set_title(track.begun_utc.strftime("%Y-%m-%d %H:%M:%S UTC"), fontsize=9)
