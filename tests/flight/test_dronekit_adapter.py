"""A script as DroneKit's users write it, on a simulated vehicle; only its import line is ours."""

import time

import pytest
from pymavlink import mavutil

from flight.dronekit_adapter import Command, LocationGlobalRelative, VehicleMode, connect
from flight.errors import LinkError
from flight.orders import distance_m
from simulators.fleet import SimulatedFleet
from tests.flight.plans import HOME, offset
from tests.flight.test_link import free_port
from tests.flight.test_operation import base_port


def wait(condition, seconds=60.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "not in time"
        time.sleep(0.02)


def test_the_usual_script():
    with SimulatedFleet(1, [HOME], base_port=base_port(), speedup=10.0) as fleet:
        vehicle = connect(fleet.urls[0], wait_ready=True)
        seen = []

        @vehicle.on_attribute("location.global_relative_frame")
        def listener(v, name, value):
            seen.append(value.alt)

        modes = []
        vehicle.add_attribute_listener("mode", lambda v, name, value: modes.append(value.name))
        # "Basic pre-arm checks", as in every DroneKit example.
        wait(lambda: vehicle.is_armable)
        vehicle.mode = VehicleMode("GUIDED")
        vehicle.armed = True
        wait(lambda: vehicle.armed)
        vehicle.simple_takeoff(15)
        wait(lambda: vehicle.location.global_relative_frame.alt >= 15 * 0.95)
        lon, lat = offset(HOME, 40.0, 20.0)
        vehicle.simple_goto(LocationGlobalRelative(lat, lon, 18), groundspeed=6)
        wait(lambda: distance_m((vehicle.location.global_frame.lon, vehicle.location.global_frame.lat), (lon, lat)) < 4)
        # Upload a mission and fly it.
        commands = vehicle.commands
        commands.clear()
        frame = mavutil.mavlink.MAV_FRAME_GLOBAL_RELATIVE_ALT
        commands.add(Command(0, 0, 0, frame, mavutil.mavlink.MAV_CMD_NAV_TAKEOFF, 0, 0, 0, 0, 0, 0, 0, 0, 15))
        for east, north in ((40, 40), (0, 40)):
            x, y = offset(HOME, east, north)
            commands.add(Command(0, 0, 0, frame, mavutil.mavlink.MAV_CMD_NAV_WAYPOINT, 0, 0, 0, 0, 0, 0, y, x, 20))
        commands.add(Command(0, 0, 0, frame, mavutil.mavlink.MAV_CMD_NAV_RETURN_TO_LAUNCH, 0, 0, 0, 0, 0, 0, 0, 0, 0))
        commands.upload()
        commands.download()
        assert [c.command for c in commands] == [22, 16, 16, 20]
        commands.next = 1
        vehicle.mode = VehicleMode("AUTO")
        wait(lambda: commands.next >= 4)
        wait(lambda: not vehicle.armed)
        assert vehicle.parameters["RTL_ALT"] > 0
        assert vehicle.parameters.get("NO_SUCH_THING") is None
        assert 50 < vehicle.battery.level <= 100
        assert max(seen) > 17
        assert {"GUIDED", "AUTO"} <= set(modes)
        vehicle.close()


def test_nobody_there():
    with pytest.raises(LinkError, match="no vehicle at"):
        connect(f"tcp:127.0.0.1:{free_port()}")
