"""A script of the kind that people wrote for DroneKit: wait, upload, arm, take off, go, fly the mission, come home."""

import json
import sys
import time

from dronekit import Command, LocationGlobalRelative, VehicleMode, connect
from pymavlink import mavutil

mavlink = mavutil.mavlink


def wait(what: str, true, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            raise SystemExit(f"gave up waiting until {what}")
        time.sleep(0.05)


def main(url: str, lat: float, lon: float) -> None:
    vehicle = connect(url, wait_ready=True, timeout=60)
    heard: list[str] = []
    vehicle.add_attribute_listener("mode", lambda _self, _name, value: heard.append(value.name))
    wait("it is armable", lambda: vehicle.is_armable, 30)

    commands = vehicle.commands
    commands.clear()
    relative = mavlink.MAV_FRAME_GLOBAL_RELATIVE_ALT
    for command, p1, a, b, alt in (
        (mavlink.MAV_CMD_NAV_WAYPOINT, 0, lat, lon, 0),  # item 0 is home, and DroneKit knows none before a download
        (mavlink.MAV_CMD_NAV_TAKEOFF, 0, 0, 0, 20),
        (mavlink.MAV_CMD_NAV_WAYPOINT, 0, lat + 0.0008, lon, 20),
        (mavlink.MAV_CMD_NAV_WAYPOINT, 0, lat + 0.0008, lon + 0.0008, 20),
    ):
        commands.add(Command(0, 0, 0, relative, command, 0, 0, p1, 0, 0, 0, a, b, alt))
    commands.upload()

    vehicle.mode = VehicleMode("GUIDED")
    wait("it is in GUIDED", lambda: vehicle.mode.name == "GUIDED", 20)
    vehicle.arm(timeout=20)
    vehicle.simple_takeoff(15)
    wait("it is at 14 m", lambda: vehicle.location.global_relative_frame.alt > 14, 30)
    vehicle.simple_goto(LocationGlobalRelative(lat + 0.0004, lon, 15))
    wait("it has gone there", lambda: abs(vehicle.location.global_frame.lat - lat - 0.0004) < 2e-5, 30)
    commands.next = 0
    vehicle.mode = VehicleMode("AUTO")
    wait("item 3 is flown to", lambda: commands.next >= 3, 30)
    wait("it is there", lambda: abs(vehicle.location.global_frame.lon - lon - 0.0008) < 3e-5, 30)
    vehicle.mode = VehicleMode("RTL")
    wait("it is disarmed", lambda: not vehicle.armed, 60)
    end = vehicle.location.global_relative_frame
    battery = vehicle.battery.level
    vehicle.close()
    print(json.dumps({"modes": heard, "end": [end.lon, end.lat, end.alt], "battery": battery}))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]))
