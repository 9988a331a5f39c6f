"""What one aircraft is about to do, as a course: by the mode it flies in, or by what the guard holds it back from."""

from __future__ import annotations

from flight.foresight import (
    HORIZON_S,
    Course,
    along_mission,
    homeward,
    landing,
    launching,
    stopping,
    straight,
    straight_to,
    to_height,
)
from flight.frame import LocalFrame
from flight.helm import Helm
from flight.policy import Policy
from flight.view import Motion

# What a take-off climbs to before the mission begins.
LAUNCH_M = 10.0
# From the guard's "clear" to the vehicle's getting under way.
_GIVEN_BACK_S = 1.0


def held(helm: Helm) -> bool:
    """Whether the guard keeps it where it is."""
    return helm.owner == "guard" and helm.vehicle.state.mode not in ("RTL", "LAND", "AUTO")


def going_on(helm: Helm, me: Motion, policy: Policy, frame: LocalFrame, until_s: float = HORIZON_S) -> Course:
    """Its course where nobody interferes from now on."""
    state, at = helm.vehicle.state, helm.vehicle.state.position
    waits = held(helm)
    mode, wait_s = (helm.resume_mode, _GIVEN_BACK_S) if waits else (state.mode, 0.0)
    if helm.owner == "launch":
        return launching(me, LAUNCH_M)
    if mode == "AUTO":
        home_alt_m = at.alt_amsl_m - at.height_rel_m if at is not None else 0.0
        seq = state.mission.seq if state.mission else 1
        return along_mission(
            me, helm.orders.mission, seq, frame, policy.cruise_mps, home_alt_m=home_alt_m, wait_s=wait_s,
            until_s=until_s,
        )  # fmt: skip
    if mode in ("RTL", "SMART_RTL", "AUTO_RTL"):
        return homeward(me, policy.cruise_mps, wait_s=wait_s)
    if mode == "LAND":
        return landing(me)
    if mode == "GUIDED" and helm.target is not None:
        x, y = frame.xy(helm.target.lon, helm.target.lat)
        return straight_to(me, x, y, helm.target.height_m, policy.cruise_mps)
    return straight(me)


def doing(helm: Helm, me: Motion, policy: Policy, frame: LocalFrame, until_s: float = HORIZON_S) -> Course:
    """Its course as things stand: held ones stay where they are held."""
    if not held(helm):
        return going_on(helm, me, policy, frame, until_s)
    if helm.climb_to_m == helm.climb_to_m:
        return to_height(me, helm.climb_to_m, 0.0)
    return stopping(me, 0.0)
