"""A ground station in MAVSDK's words: upload, arm, fly the mission, return. Prints what it saw as JSON."""

import json
import math
import sys
import time

from mavsdk import ComponentType, Configuration, Mavsdk
from mavsdk.plugins.action import Action
from mavsdk.plugins.mission_raw import MissionItem, MissionRaw
from mavsdk.plugins.telemetry import Telemetry


def item(seq: int, frame: int, command: int, lat: float, lon: float, alt: float, p1: float = 0.0) -> MissionItem:
    current = int(seq == 0)
    return MissionItem(seq, frame, command, current, 1, p1, 0.0, 0.0, math.nan if command == 16 else 0.0,
                       round(lat * 1e7), round(lon * 1e7), alt, 0)  # fmt: skip


def wait(what: str, true, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            raise SystemExit(f"gave up waiting until {what}")
        time.sleep(0.05)


def placed(telemetry: Telemetry) -> bool:
    health = telemetry.health()
    return health.is_global_position_ok and health.is_home_position_ok


def main(url: str, lat: float, lon: float) -> None:
    sdk = Mavsdk(Configuration.create_with_component_type(ComponentType.GROUND_STATION))
    sdk.add_any_connection(url)
    system = sdk.first_autopilot(20.0)
    assert system is not None, "no autopilot"
    action, mission, telemetry = Action(system), MissionRaw(system), Telemetry(system)
    for message in ("position", "health", "home", "in_air", "landed_state", "gps_info", "battery"):
        getattr(telemetry, f"set_rate_{message}")(5.0)
    wait("there is a position and a home", lambda: placed(telemetry), 40)
    plan = [
        item(0, 0, 16, lat, lon, 0), item(1, 3, 22, 0, 0, 20), item(2, 3, 16, lat + 0.0008, lon, 20),
        item(3, 3, 16, lat + 0.0008, lon + 0.0008, 25), item(4, 3, 16, lat + 0.0016, lon + 0.0008, 25),
    ]  # fmt: skip
    mission.upload_mission(plan)
    back = mission.download_mission()
    action.arm()
    mission.start_mission()
    wait("it flies", telemetry.in_air, 20)
    highest = 0.0

    def arrived() -> bool:
        nonlocal highest
        highest = max(highest, telemetry.position().relative_altitude_m)
        return mission.mission_progress().current >= 4

    wait("item 4 is flown to", arrived, 60)
    action.return_to_launch()
    wait("it is disarmed at home", lambda: not telemetry.armed(), 60)
    end = telemetry.position()
    print(json.dumps({
        "items": [[i.seq, i.command, i.x, i.y, i.z] for i in back], "highest_m": highest,
        "end": [end.longitude_deg, end.latitude_deg, end.relative_altitude_m],
    }))  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]))
