"""What a crew brings to a take-off besides the aircraft: approvals, roster, weather, a policy, overrides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yunxun.errors import YunxunError

if TYPE_CHECKING:
    from flight.papers import Papers
    from flight.preflight import Override
    from flight.signing import SigningKey

PolicyFile = Annotated[Path | None, typer.Option("--policy", help="The bureau's demands (TOML); see docs/flight.md.")]
OperationFile = Annotated[
    Path | None, typer.Option("--operation", help="The operation's particulars with its approvals (JSON).")
]
RosterFile = Annotated[Path | None, typer.Option("--roster", help="The brigade's people and shifts (JSON).")]
PilotName = Annotated[str, typer.Option("--pilot", help="Who flies, where the plan does not say.")]
WeatherFile = Annotated[Path | None, typer.Option("--weather", help="Weather at the site (JSON).")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--override", help='Fly with a failed check: "CHECK: REASON", on record under --operator.'),
]
KeyFile = Annotated[
    Path | None, typer.Option("--key", help="Signing key (0600): sign everything, take nothing unsigned.")
]


@dataclass(frozen=True)
class Clearance:
    """The files and words of the command line, not yet read."""

    policy: Path | None = None
    operation: Path | None = None
    roster: Path | None = None
    pilot: str = ""
    weather: Path | None = None
    override: Sequence[str] = ()
    key: Path | None = None

    def papers(self) -> Papers:
        """Reads what was given.

        Raises:
            MissionsError, FlightError: A file is missing or wrong.
        """
        from flight.papers import Approval, Papers, Pilot, read_weather
        from missions.roster import read_roster, shifts_of
        from missions.rules import read_operation

        approvals = None
        if self.operation is not None:
            found = read_operation(self.operation).approvals
            approvals = tuple(Approval(one.number, one.begin_utc, one.end_utc) for one in found)
        pilots = None
        if self.roster is not None:
            roster = read_roster(self.roster)
            pilots = tuple(
                Pilot(one.person, one.licence or "", one.valid_until, shifts_of(one, roster.date))
                for one in roster.people
                if one.role == "pilot"
            )
        weather = read_weather(self.weather) if self.weather is not None else None
        return Papers(approvals, pilots, self.pilot, weather)

    def overrides(self, operator: str) -> tuple[Override, ...]:
        """The decisions to fly with failed checks.

        Raises:
            YunxunError: Not `CHECK: REASON`, or no such check.
            FlightError: A check that nobody may override.
        """
        from flight.preflight import FINAL, OVERRIDABLE, Override

        made = []
        for text in self.override:
            check, _, reason = (part.strip() for part in text.partition(":"))
            if check not in OVERRIDABLE and check not in FINAL:
                raise YunxunError(
                    f'--override {text!r}: expected "CHECK: REASON" with a check of {", ".join(OVERRIDABLE)}'
                )
            made.append(Override(operator, reason, frozenset({check})))
        return tuple(made)

    def signing(self) -> SigningKey | None:
        """The key, where one was named.

        Raises:
            FlightError: No key there, or others may read it.
        """
        from flight.signing import SigningKey

        return SigningKey.read(self.key) if self.key is not None else None
