"""The position controller: from where to be and where one is to the acceleration to ask of the body.

Gains are ArduCopter's defaults (PSC_POSXY_P 1, PSC_VELXY_P 2, PSC_VELXY_I 1, PSC_POSZ_P 1, PSC_VELZ_P 5).
"""

from __future__ import annotations

import math

from simulators.copter.trajectory import Vector

_WINDUP_MPS2 = 6.0


class PositionControl:
    """One P loop on position around a PI loop on velocity, with the reference's motion fed forward."""

    __slots__ = ("_east", "_north", "_up")

    def __init__(self) -> None:
        self._north = self._east = self._up = 0.0

    def reset(self) -> None:
        """Forgets the wind it has learnt."""
        self._north = self._east = self._up = 0.0

    def follow(
        self, at: Vector, moving: Vector, want: Vector, want_v: Vector, want_a: Vector, dt_s: float,
        accel_mps2: float = 2.5,
    ) -> Vector:  # fmt: skip
        """Acceleration to ask for, so that the place `at`, moving at `moving`, comes to `want`."""
        pull_n, pull_e = want[0] - at[0], want[1] - at[1]
        size = math.hypot(pull_n, pull_e)
        if size > accel_mps2:
            # Far away the square-root law keeps the approach within the acceleration limit.
            scale = math.sqrt(2 * accel_mps2 * (size - accel_mps2 / 2)) / size
            pull_n, pull_e = pull_n * scale, pull_e * scale
        up = want_v[2] + max(-2.5, min(2.5, want[2] - at[2]))
        return self.pace(moving, (want_v[0] + pull_n, want_v[1] + pull_e, up), want_a, dt_s)

    def pace(self, moving: Vector, want_v: Vector, want_a: Vector, dt_s: float) -> Vector:
        """Acceleration to ask for, so that the velocity becomes `want_v`."""
        e_n, e_e, e_u = want_v[0] - moving[0], want_v[1] - moving[1], want_v[2] - moving[2]
        self._north = max(-_WINDUP_MPS2, min(_WINDUP_MPS2, self._north + e_n * dt_s))
        self._east = max(-_WINDUP_MPS2, min(_WINDUP_MPS2, self._east + e_e * dt_s))
        self._up = max(-1.5, min(1.5, self._up + 0.5 * e_u * dt_s))
        return (
            want_a[0] + 2.0 * e_n + self._north,
            want_a[1] + 2.0 * e_e + self._east,
            want_a[2] + max(-2.5, min(2.5, 3.0 * e_u)) + self._up,
        )
