"""The rest of a sortie after a battery swap: to the very place where it was left, then on."""

from __future__ import annotations

from dataclasses import replace

from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flight.helm import Spot, trigger_before
from flight.items import WireItem
from flight.orders import Orders

_TAKEOFF = mavlink.MAV_CMD_NAV_TAKEOFF
_SPEED = mavlink.MAV_CMD_DO_CHANGE_SPEED
_TRIGGER = mavlink.MAV_CMD_DO_SET_CAM_TRIGG_DIST
_GO_ON_AT_LEAST = 2


def resumed(orders: Orders, left: Spot) -> Orders:
    """Orders for what is left: take-off, speed in force, the place it was left at, the trigger in force, the rest.

    Args:
        orders: The sortie as planned (or an earlier rest of it).
        left: Where the mission was last being flown, and the item it was flying to.
    """
    mission = orders.mission
    item = max(_GO_ON_AT_LEAST, min(left.item, orders.last_item))
    takeoff = next(wire for wire in mission if wire.command == _TAKEOFF)
    speeds = [wire for wire in mission[1:item] if wire.command == _SPEED][-1:]
    place = WireItem(
        mavlink.MAV_CMD_NAV_WAYPOINT, 3, (0, 0, 0, 0), round(left.lat * 1e7), round(left.lon * 1e7), left.height_m
    )
    every_m = trigger_before(orders, item)
    trigger = [WireItem(_TRIGGER, 2, (every_m, 0, 1, 0), 0, 0, 0)] if every_m > 0 else []
    rest = (mission[0], takeoff, *speeds, place, *trigger, *mission[item:])
    return replace(orders, mission=rest)
