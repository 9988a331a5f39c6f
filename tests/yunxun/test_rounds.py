"""What comes round by the clock, with the vendor's server that the API is tested against."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from api.auth.access import TokenCache
from api.context import Context
from api.database import Database, migrate
from api.platform.service import Reconciled
from api.platform.vendor import PlatformError
from api.settings import ApiSettings
from api.tiles.files import PictureCache
from tests.api.vendor_server import Vendor
from yunxun.rounds import DailyComparison, Round, vendor_rounds, walk

SHANGHAI = ZoneInfo("Asia/Shanghai")


def compared(day: date) -> Reconciled:
    return Reconciled(day.isoformat(), 0, (), (), ())


def test_a_round_that_fails_comes_again_and_keeps_no_other_waiting() -> None:
    runs: dict[str, int] = {"bad": 0, "good": 0}
    stop = threading.Event()

    def bad() -> None:
        runs["bad"] += 1
        raise OSError("the database is away")

    def good() -> None:
        runs["good"] += 1
        if runs["good"] >= 3:
            stop.set()

    walker = threading.Thread(target=walk, args=([Round("bad", 0.01, bad), Round("good", 0.01, good)], stop, 0.01))
    walker.start()
    walker.join(20)
    assert not walker.is_alive()
    assert runs["good"] == 3 and runs["bad"] >= 3


def test_a_round_is_not_run_before_its_time() -> None:
    runs: list[float] = []
    stop = threading.Event()
    walker = threading.Thread(
        target=walk, args=([Round("hourly", 3600.0, lambda: runs.append(time.monotonic()))], stop, 0.01)
    )
    walker.start()
    time.sleep(0.2)
    stop.set()
    walker.join(20)
    assert len(runs) == 1


def test_yesterday_is_compared_once_and_only_from_three_in_the_morning() -> None:
    now = [datetime(2026, 11, 23, 2, 59, tzinfo=SHANGHAI)]
    days: list[date] = []

    def compare(day: date) -> Reconciled:
        days.append(day)
        return compared(day)

    daily = DailyComparison(compare, lambda: now[0])
    assert daily.look() is None
    now[0] = datetime(2026, 11, 23, 3, 0, tzinfo=SHANGHAI)
    assert daily.look() is not None
    assert daily.look() is None
    now[0] = datetime(2026, 11, 24, 9, 0, tzinfo=SHANGHAI)
    daily.look()
    assert days == [date(2026, 11, 22), date(2026, 11, 23)]


def test_a_comparison_that_failed_is_tried_again() -> None:
    answers: list[Exception | None] = [PlatformError("silent", again=True), None]

    def compare(day: date) -> Reconciled:
        error = answers.pop(0)
        if error:
            raise error
        return compared(day)

    daily = DailyComparison(compare, lambda: datetime(2026, 11, 23, 8, 0, tzinfo=SHANGHAI))
    with pytest.raises(PlatformError):
        daily.look()
    assert daily.look() is not None


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    made = Vendor()
    yield made
    made.close()


def context(folder: Path, vendor_url: str) -> Context:
    settings = ApiSettings(data_dir=folder, vendor_url=vendor_url, vendor_token="vendor-secret")
    migrate(settings.url)
    database = Database(settings.url)
    return Context(settings, database, TokenCache(database, settings), PictureCache(folder / "pictures"))


def test_the_platforms_rounds_exist_only_where_a_platform_is_set_and_really_ask_it(
    tmp_path: Path, vendor: Vendor
) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "some").mkdir()
    assert vendor_rounds(context(tmp_path / "none", "")) == []
    rounds = vendor_rounds(context(tmp_path / "some", vendor.url))
    assert [item.name for item in rounds] == ["deliver", "reconcile"]
    for item in rounds:
        item.run()
