"""What comes round by the clock: unfinished jobs, the vendor's platform, closed days, what may be deleted.

The worker walks them in one thread. Each round stands alone: one that fails is logged and comes again, and never
keeps another waiting for more than its own time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from api.context import Context
from api.platform.service import Reconciled, deliver, reconcile
from api.platform.vendor import VendorClient

log = logging.getLogger("yunxun.rounds")

# The platform should have a case within a minute or two of its filing.
DELIVER_S = 60.0
# How often it is looked whether a day has ended; the work itself is done once a day.
DAILY_LOOK_S = 3600.0
# Yesterday is compared from this local hour on: late write-backs of the night shift are in by then.
RECONCILE_HOUR = 3


@dataclass(frozen=True)
class Round:
    """Something to do every so often.

    Attributes:
        name: For the log.
        every_s: Least seconds from one start to the next.
        run: Does it; whatever it raises is logged and it comes round again.
    """

    name: str
    every_s: float
    run: Callable[[], object]


def walk(rounds: Sequence[Round], stop: threading.Event, tick_s: float = 1.0) -> None:
    """Runs each round when it is due, all of them at once at the start, until `stop` is set."""
    due = dict.fromkeys((item.name for item in rounds), 0.0)
    while not stop.is_set():
        for item in rounds:
            if time.monotonic() >= due[item.name]:
                due[item.name] = time.monotonic() + item.every_s
                _run(item)
        stop.wait(tick_s)


def _run(item: Round) -> None:
    try:
        item.run()
    except Exception:
        # The database or the platform may be away for a while; the worker must not die of it.
        log.exception("the round %s failed; it comes again in %.0f s", item.name, item.every_s)


def vendor_rounds(here: Context) -> list[Round]:
    """Hand-over and daily comparison with the vendor's platform; none where no platform is set."""
    if not here.settings.vendor_url:
        return []
    client = VendorClient(here.settings.vendor_url, here.settings.vendor_token)
    zone = ZoneInfo(here.settings.timezone)
    daily = DailyComparison(lambda day: reconcile(here, client, day), lambda: datetime.now(zone))
    return [
        Round("deliver", DELIVER_S, lambda: deliver(here, client)),
        Round("reconcile", DAILY_LOOK_S, daily.look),
    ]


class DailyComparison:
    """Compares yesterday with the platform once, from `RECONCILE_HOUR` local time on; a restart compares again.

    Args:
        compare: Compares one local day.
        local_now: The local time.
    """

    def __init__(self, compare: Callable[..., Reconciled], local_now: Callable[[], datetime]) -> None:
        self._compare = compare
        self._local_now = local_now
        self._done = ""

    def look(self) -> Reconciled | None:
        """Compares where it is time and yesterday has not been compared yet.

        Raises:
            PlatformError: The platform does not answer; the next look tries again.
        """
        now = self._local_now()
        day = (now - timedelta(days=1)).date()
        if now.hour < RECONCILE_HOUR or self._done == day.isoformat():
            return None
        found = self._compare(day)
        self._done = day.isoformat()
        level = logging.WARNING if found.only_ours or found.only_theirs or found.differ else logging.INFO
        log.log(
            level,
            "%s compared with the platform: %d on both sides, only ours %s (sent again), only theirs %s, differing %s",
            found.day,
            found.both,
            list(found.only_ours),
            list(found.only_theirs),
            list(found.differ),
        )
        return found
