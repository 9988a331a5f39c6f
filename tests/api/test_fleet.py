"""Live positions: the newest of each aircraft, and nothing that is not one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from api.base import utcnow
from api.fleet import service
from tests.api.world import World


def position(seconds_ago: float = 0.0, **more: Any) -> dict[str, Any]:
    at = (utcnow() - timedelta(seconds=seconds_ago)).isoformat()
    return {"lon": 118.35, "lat": 35.05, "height_rel_m": 84.0, "yaw_deg": 92.0, "battery": 0.7, "at": at, **more}


def test_the_newest_position_is_on_the_map(world: World) -> None:
    assert world.call("pilot", "PUT", "/fleet/1", json=position(5)).json() == {"taken": True}
    assert world.call("pilot", "PUT", "/fleet/1", json=position(0, lon=118.36)).json() == {"taken": True}
    assert world.call("pilot", "PUT", "/fleet/1", json=position(3)).json() == {"taken": False}, "it came late"
    assert world.call("officer", "PUT", "/fleet/1", json=position()).json() == {"taken": True}, "another station's 1"
    found = world.call("officer", "GET", "/fleet").json()
    assert [(one["station"], one["lon"]) for one in found] == [("officer-1", 118.35), ("pilot-1", 118.36)]
    assert not any(one["lost"] for one in found)


def test_one_that_is_silent_is_lost_and_then_gone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.call("pilot", "PUT", "/fleet/1", json=position())
    monkeypatch.setattr(service, "LOST_S", -1.0)
    monkeypatch.setattr("api.fleet.routes.LOST_S", -1.0)
    assert world.call("officer", "GET", "/fleet").json()[0]["lost"] is True
    monkeypatch.setattr(service, "KEEP", timedelta(seconds=-1))
    assert world.call("officer", "GET", "/fleet").json() == []


@pytest.mark.parametrize(
    "more",
    [{"lon": 181}, {"lat": None}, {"battery": 70}, {"at": "2026-11-23T10:00:00"}, {"at": "yesterday"}, {"lon": "x"},
     {"sortie_id": "x" * 200}],
)  # fmt: skip
def test_what_is_no_position_is_refused(world: World, more: dict[str, Any]) -> None:
    assert world.call("pilot", "PUT", "/fleet/1", json=position(**more)).status_code == 422
    assert world.call("officer", "GET", "/fleet").json() == []


def test_a_clock_in_the_future_and_who_may(world: World) -> None:
    ahead = world.call("pilot", "PUT", "/fleet/1", json=position(-120))
    assert ahead.status_code == 422 and "clock" in ahead.json()["detail"]
    assert world.call("reviewer", "PUT", "/fleet/1", json=position()).status_code == 403
    assert world.call("platform", "GET", "/fleet").status_code == 403
    assert world.call(None, "GET", "/fleet").status_code == 401
    assert world.call("pilot", "PUT", "/fleet/a%2Fb", json=position()).status_code in (404, 405, 422)


def test_there_is_an_end_to_them(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MOST", 2)
    answers = [world.call("pilot", "PUT", f"/fleet/{n}", json=position()).status_code for n in range(3)]
    assert answers == [200, 200, 429]
