"""The guard: looks at every aircraft at least twice a second and, in doubt, brings it home.

Each rule gives a number: at 1 and above for `after_s` it acts, and it lets go only below `clear_below` for `clear_s`,
so that no aircraft is thrown to and fro at a limit. The strongest action of all rules wins. What a person does, by
stick, by another ground station or through us, always wins over the guard: it then only warns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple, Protocol

from flight.view import View


class Action(IntEnum):
    """What to do, weakest first; a stronger one replaces a weaker one."""

    NONE = 0
    WARN = 1
    NUDGE = 2
    HOLD = 3
    HEIGHT = 4
    RETURN = 5
    LAND = 6


class Finding(NamedTuple):
    """A rule's look: `level` 1 is its limit; `height_m` (above home) is where an Action.HEIGHT goes."""

    level: float
    why: str = ""
    action: Action | None = None
    height_m: float = math.nan


class Rule(Protocol):
    """One thing that must not happen."""

    @property
    def name(self) -> str:
        """Short name for people and records."""
        ...

    @property
    def limits(self) -> Limits:
        """Its action and hysteresis."""
        ...

    def look(self, view: View) -> Finding:
        """How near it is to happening."""
        ...


@dataclass(frozen=True)
class Limits:
    """A rule's action and hysteresis, in seconds of the vehicle's clock.

    Attributes:
        action: What it demands.
        after_s: How long it must be at its limit.
        clear_below: Level below which it lets go; -inf keeps hold until landing.
        clear_s: How long it must stay below.
        escalate_s: After holding this long without clearing, `escalate_to`.
        escalate_to: The stronger action.
    """

    action: Action
    after_s: float = 0.0
    clear_below: float = 0.8
    clear_s: float = 3.0
    escalate_s: float = math.inf
    escalate_to: Action = Action.RETURN


class Decision(NamedTuple):
    """What the guard wants now, of which rule, and why."""

    action: Action
    rule: str
    why: str
    height_m: float = math.nan


CALM = Decision(Action.NONE, "", "")


@dataclass
class _Watch:
    """One rule's hysteresis on one vehicle."""

    rule: Rule
    acting: bool = False
    over_since_s: float = math.nan
    under_since_s: float = math.nan
    acting_since_s: float = math.nan
    last: Finding = field(default_factory=lambda: Finding(0.0))

    def step(self, view: View) -> Decision:
        limits, now_s = self.rule.limits, view.now_s
        found = self.rule.look(view)
        if found.level >= 1:
            self.last = found
        if not self.acting:
            if found.level < 1:
                self.over_since_s = math.nan
                return CALM
            if self.over_since_s != self.over_since_s:
                self.over_since_s = now_s
            if now_s - self.over_since_s < limits.after_s:
                return CALM
            self.acting, self.acting_since_s, self.under_since_s = True, now_s, math.nan
        elif found.level < limits.clear_below:
            if self.under_since_s != self.under_since_s:
                self.under_since_s = now_s
            if now_s - self.under_since_s >= limits.clear_s:
                self.acting, self.over_since_s = False, math.nan
                return CALM
        else:
            self.under_since_s = math.nan
        action = self.last.action or limits.action
        if now_s - self.acting_since_s >= limits.escalate_s:
            action = max(action, limits.escalate_to)
        return Decision(action, self.rule.name, self.last.why, self.last.height_m)


class Guard:
    """All rules on one vehicle for one sortie."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._watches = [_Watch(rule) for rule in rules]

    def step(self, view: View) -> Decision:
        """The strongest decision of this moment."""
        decisions = [watch.step(view) for watch in self._watches]
        return max(decisions, key=lambda decision: decision.action, default=CALM)
