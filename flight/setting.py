"""Sets a vehicle's parameters to what the policy demands: on the ground, for a named person, and on record."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from flight.errors import FlightError
from flight.params import read_param, write_param
from flight.policy import Policy
from flight.vehicle import Vehicle


@dataclass(frozen=True)
class Setting:
    """An order to set what is not as the policy demands.

    Attributes:
        person: Who orders it.
        reason: Why.
        record: JSON lines, one a parameter written: when, vehicle, what it was, what it is, who, why. Appended.
    """

    person: str
    reason: str
    record: Path

    def __post_init__(self) -> None:
        if not self.person.strip() or not self.reason.strip():
            raise FlightError("a vehicle's parameters are set by a named person with a reason: give both")

    async def carry_out(self, vehicle: Vehicle, policy: Policy) -> list[str]:
        """Writes each parameter that is not as demanded to the nearest value let pass, and reads it back.

        Returns:
            What was written, in words. A parameter that the vehicle does not have stays a failed check.

        Raises:
            FlightError: The vehicle is armed.
            CommandError: It keeps another value.
        """
        done: list[str] = []
        for rule in policy.parameters:
            before = await read_param(vehicle, rule.name)
            if before is None or rule.judge(before).grade == "pass":
                continue
            if vehicle.state.armed:
                raise FlightError(f"{vehicle.name} is armed: {rule.name} is set on the ground only")
            wanted = rule.nearest(before)
            await write_param(vehicle, rule.name, wanted)
            self._write(vehicle, rule.name, before, wanted)
            done.append(f"{rule.name}: {before:g} -> {wanted:g}")
        return done

    def _write(self, vehicle: Vehicle, name: str, before: float, after: float) -> None:
        line = {
            "at_utc": datetime.now(UTC).isoformat(timespec="seconds"), "vehicle": vehicle.system_id,
            "parameter": name, "before": before, "after": after, "person": self.person, "reason": self.reason,
        }  # fmt: skip
        with self.record.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            file.flush()
