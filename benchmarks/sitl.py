"""The same surveys on the embedded vehicle and on a real ArduCopter SITL: durations, landing places, item by item.

    YUNXUN_ARDUCOPTER=/path/to/arducopter .venv/bin/python benchmarks/sitl.py [part of a survey's name] [-v]

Without a real SITL it says so and flies the embedded one alone. One survey takes some 20 s of wall time on the SITL.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from simulators.fleet import SimulatedFleet
from simulators.sitl import SitlFleet, find_arducopter
from tests.simulators.copter.ground import HOME, NONE, Row, at, survey
from tests.simulators.ports import free_base_port
from tests.simulators.wall import WallGround

SPEEDUP = 10.0


@dataclass(frozen=True)
class Flight:
    """One survey as it was flown; times in seconds since arming."""

    reached: tuple[tuple[int, float], ...]
    duration_s: float
    photos: int
    miss_m: float


def zigzag(points: int, leg_m: float, height_m: float) -> list[Row]:
    rows: list[Row] = [(16, 0, NONE, HOME[1], HOME[0], HOME[2]), (22, 3, NONE, 0.0, 0.0, height_m)]
    rows += [(16, 3, NONE, *at(40 + leg_m * (k % 2), 15.0 * k), height_m) for k in range(points)]
    return [*rows, (20, 3, NONE, 0.0, 0.0, 0.0)]


SURVEYS: dict[str, list[Row]] = {
    "4 lanes of 200 m, 25 m apart": survey(4, 200.0, 25.0, 50.0),
    "8 lanes of 300 m, 30 m apart": survey(8, 300.0, 30.0, 60.0),
    "12 lanes of 60 m, 12 m apart": survey(12, 60.0, 12.0, 30.0),
    "zigzag of 16 legs, 80 m": zigzag(16, 80.0, 40.0),
}
WINDS = ((0.0, 0.0), (6.0, 250.0))


def fly(fleet: SimulatedFleet | SitlFleet, rows: list[Row]) -> Flight:
    with fleet:
        ground = WallGround(fleet.urls[0])
        ground.run(1.0)
        assert ground.upload(rows) == 0
        ground.command(511, 33, 100_000)
        # On a busy machine a fast clock may disarm between the two: they are said again together.
        for _ in range(20):
            if ground.arm(300) and ground.command(300) == 0:
                break
        start, seen = clock(ground), len(ground.heard)
        assert ground.run(60, lambda: ground.armed)
        assert ground.run(1500, lambda: not ground.armed), "it did not land"
        now, reached = start, []
        for message in ground.heard[seen:]:
            if message.get_type() == "GLOBAL_POSITION_INT":
                now = message.time_boot_ms / 1000
            elif message.get_type() == "MISSION_ITEM_REACHED":
                reached.append((message.seq, now - start))
        photos = sum(m.get_type() == "CAMERA_FEEDBACK" for m in ground.heard[seen:])
        end = ground.last["GLOBAL_POSITION_INT"]
        north, east = (end.lat * 1e-7 - HOME[1]) * 110_941, (end.lon * 1e-7 - HOME[0]) * 91_237
        ground.close()
        if isinstance(fleet, SitlFleet):
            print("   log", fleet.log_hashes())
        return Flight(tuple(reached), now - start, photos, (north**2 + east**2) ** 0.5)


def clock(ground: WallGround) -> float:
    ground.last.pop("GLOBAL_POSITION_INT", None)
    ground.run(5, lambda: "GLOBAL_POSITION_INT" in ground.last)
    return ground.last["GLOBAL_POSITION_INT"].time_boot_ms / 1000


def main() -> None:
    real = find_arducopter()
    only = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    if real is None:
        print("no real SITL: YUNXUN_ARDUCOPTER is not set and `arducopter` is not on PATH; the embedded vehicle alone:")
    for name, rows in ((name, rows) for name, rows in SURVEYS.items() if only in name):
        for speed, from_deg in WINDS:
            wind = {"wind_mps": speed, "wind_from_deg": from_deg, "speedup": SPEEDUP}
            ours = fly(SimulatedFleet(1, [HOME], base_port=free_base_port(1), gps_noise_m=0.0, **wind), rows)
            line = f"{name}, wind {speed:.0f} m/s: embedded {ours.duration_s:.1f} s, {ours.photos} photos, "
            line += f"{ours.miss_m:.2f} m"
            if real is not None:
                theirs = fly(SitlFleet(1, [HOME], base_port=free_base_port(1), **wind), rows)
                error = ours.duration_s / theirs.duration_s - 1
                order = [seq for seq, _ in ours.reached][:-1]
                mission = order == [seq for seq, _ in theirs.reached][: len(order)]
                line += (
                    f" | ArduCopter {theirs.duration_s:.1f} s, {theirs.photos} photos, {theirs.miss_m:.2f} m | "
                    f"{100 * error:+.1f} %, same items in the same order: {mission}"
                )
                if "-v" in sys.argv:
                    for (seq, a), (other, b) in zip(ours.reached, theirs.reached, strict=False):
                        print(f"   item {seq} {a:.1f} s | item {other} {b:.1f} s")
            print(line, flush=True)


if __name__ == "__main__":
    main()
