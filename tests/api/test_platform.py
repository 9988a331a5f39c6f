"""Handing cases to a vendor's platform: a real server beside, with its moods; never twice, never forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from api.base import utcnow
from api.grid.crs import gauss_krueger, to_output
from api.platform import service
from api.platform.vendor import VendorClient
from api.settings import ApiSettings
from tests.api.conftest import open_world, settings_for
from tests.api.rasters import mosaic
from tests.api.vendor_server import Vendor
from tests.api.world import LAT, LON, World, feature, square

LOOKUPS = [
    ("source", "drone", "21"), ("event_type", "event", "1"), ("main_type", "06", "601"), ("sub_type", "06001", "60101"),
    ("district", "371302", "3"), ("street", "371302006", "36"), ("community", "371302006001", "361"),
    ("cell", "*", "9"),
]  # fmt: skip


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    made = Vendor()
    yield made
    made.close()


@pytest.fixture
def world(tmp_path: Path, empty_sqlite: Path, vendor: Vendor) -> Iterator[World]:
    options = {"vendor_url": vendor.url, "vendor_token": "vendor-secret", "output_crs": "EPSG:3857"}
    for made in open_world(settings_for(tmp_path / "data", empty_sqlite, **options)):
        cells = [{"type": "Feature", "properties": {"cell": "371302006001001"}, "geometry": square(-50, -50, 2000)}]
        made.call("admin", "PUT", "/grid/cells", json={"type": "FeatureCollection", "features": cells})
        with made.context.database.write() as session:
            rows = [{"kind": kind, "ours": ours, "theirs": theirs} for kind, ours, theirs in LOOKUPS]
            service.load_lookups(session, rows)
        yield made


def client(vendor: Vendor, token: str = "vendor-secret") -> VendorClient:
    return VendorClient(vendor.url, token, timeout_s=5.0)


def file(world: World, n: int = 1) -> dict:
    world.file(feature(n=n, geometry=square(100.0 * n, 50)))
    return world.accept(f"P1/{n}")


def later(hours: float = 2.0):
    return lambda: utcnow() + timedelta(hours=hours)


def test_a_case_arrives_with_its_fields_and_pictures(world: World, vendor: Vendor, tmp_path: Path) -> None:
    paths = {"mosaic": str(mosaic(tmp_path / "a.tif", bright=True, side_px=512, gsd_m=0.8)),
             "baseline": str(mosaic(tmp_path / "b.tif", bright=False, side_px=512, gsd_m=0.8))}  # fmt: skip
    world.call("admin", "POST", "/patrols", json={"id": "P1", "paths": paths})
    case = file(world)
    assert service.deliver(world.context, client(vendor)) == service.Delivered(sent=1)
    (record,) = vendor.records.values()
    assert record["otherTaskNum"] == case["number"] and record["subTypeID"] == "60101" and record["recTypeID"] == "1"
    assert record["cellName"] == "371302006001001" and record["address"] == case["address"]
    # The vendor's sample call carries Web Mercator metres.
    assert float(record["coordinateX"]) == pytest.approx(case["lon"] * 111319.490793, abs=1)
    assert len(record["pictures"]) == 2
    now = world.call("officer", "GET", f"/cases/{case['id']}").json()
    assert now["platform_no"] == record["recNum"] and now["state"] == "filed"
    assert service.deliver(world.context, client(vendor), now=later()) == service.Delivered()


def test_an_outage_is_waited_out(world: World, vendor: Vendor) -> None:
    vendor.moods = [503, "html", 503]
    case = file(world)
    assert service.deliver(world.context, client(vendor)).waiting == 1
    assert service.deliver(world.context, client(vendor)) == service.Delivered(), "not before its time"
    for hours in (1, 2):
        assert service.deliver(world.context, client(vendor), now=later(hours)).waiting == 1
    assert service.deliver(world.context, client(vendor), now=later(9)).sent == 1
    assert [record["otherTaskNum"] for record in vendor.records.values()] == [case["number"]]


def test_an_answer_lost_on_the_wire_makes_no_second_record(world: World, vendor: Vendor) -> None:
    vendor.moods = ["drop"]
    case = file(world)
    assert service.deliver(world.context, client(vendor)).waiting == 1
    assert service.deliver(world.context, client(vendor), now=later()).sent == 1
    assert len(vendor.records) == 1 and vendor.calls == ["save", "query"]
    assert world.call("officer", "GET", f"/cases/{case['id']}").json()["platform_no"] == "LS000001"


def test_a_run_that_is_killed_after_the_call_makes_no_second_record(
    world: World, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = file(world)

    class Killed(BaseException):
        """As kill -9: nothing of ours runs afterwards."""

    def die(*_: object) -> str:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(service, "_note", die)
        with pytest.raises(Killed):
            service.deliver(world.context, client(vendor))
    assert [record["otherTaskNum"] for record in vendor.records.values()] == [case["number"]]
    assert service.deliver(world.context, client(vendor), now=later()).sent == 1
    assert len(vendor.records) == 1 and vendor.calls == ["save", "query"]


def test_two_runs_at_once_send_a_case_once(world: World, vendor: Vendor) -> None:
    for n in range(1, 5):
        file(world, n)
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(service.deliver, world.context, client(vendor)) for _ in range(2)]
    assert sum(run.result().sent for run in runs) == 4 and len(vendor.records) == 4


def test_one_case_whose_pictures_cannot_be_had_keeps_no_other_back(
    world: World, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = file(world, 1), file(world, 2)
    real = service.evidence.collect

    def collect(here: Any, case_id: UUID) -> Any:
        if str(case_id) == first["id"]:
            raise OSError(28, "No space left on device")
        return real(here, case_id)

    monkeypatch.setattr(service.evidence, "collect", collect)
    assert service.deliver(world.context, client(vendor)) == service.Delivered(sent=1, waiting=1)
    assert [record["otherTaskNum"] for record in vendor.records.values()] == [second["number"]]
    listed = world.call("officer", "GET", "/platform/deliveries?state=pending").json()
    assert "No space left" in listed[0]["error"]


def test_a_missing_lookup_is_named_and_retried_after_its_import(world: World, vendor: Vendor) -> None:
    world.file(feature(n=1, geometry=square(100, 50), family="sanitation", label="waste_heap"))
    world.accept("P1/1")
    assert service.deliver(world.context, client(vendor)).failed == 1
    listed = world.call("officer", "GET", "/platform/deliveries?state=failed").json()
    assert "sub_type" in listed[0]["error"] and "06010" in listed[0]["error"]
    rows = [{"kind": "sub_type", "ours": "06010", "theirs": "60110"}]
    assert world.call("admin", "PUT", "/platform/lookups", json=rows).json() == {"loaded": 1}
    assert world.call("admin", "POST", "/platform/deliveries/retry").json() == {"queued": 1}
    assert service.deliver(world.context, client(vendor), now=later()).sent == 1


def test_a_wrong_token_fails_and_says_so(world: World, vendor: Vendor) -> None:
    file(world)
    assert service.deliver(world.context, client(vendor, "wrong")).failed == 1
    assert "401" in world.call("officer", "GET", "/platform/deliveries").json()[0]["error"]


def test_a_withdrawn_case_is_not_sent(world: World, vendor: Vendor) -> None:
    file(world)
    world.call("reviewer", "POST", "/candidates/P1/1/undo")
    service.deliver(world.context, client(vendor))
    assert vendor.records == {}


def test_the_daily_reconciliation_names_what_each_side_lacks(world: World, vendor: Vendor) -> None:
    cases = [file(world, n) for n in range(1, 6)]
    assert service.deliver(world.context, client(vendor)).sent == 5
    lost = next(key for key, row in vendor.records.items() if row["otherTaskNum"] == cases[2]["number"])
    del vendor.records[lost]
    vendor.save({"otherTaskNum": "LY-WRJ-20260101-99999"}, [])
    today = datetime.now(ZoneInfo("Asia/Shanghai")).date()
    found = service.reconcile(world.context, client(vendor), today)
    assert (found.both, found.only_ours, found.only_theirs) == (4, (cases[2]["number"],), ("LY-WRJ-20260101-99999",))
    assert service.deliver(world.context, client(vendor), now=later()).sent == 1
    assert service.reconcile(world.context, client(vendor), today).only_ours == ()


def test_open_cases_of_the_platform_raise_none_of_ours(world: World) -> None:
    features = [
        {"type": "Feature", "geometry": square(east, 50), "properties": {"family": "construction", **properties}}
        for east, properties in ((500, {"platform_no": "LS9"}), (700, {"platform_no": "LS8", "open": False}))
    ]
    body = {"type": "FeatureCollection", "features": features}
    assert world.call("admin", "PUT", "/platform/open-cases", json=body).json() == {"loaded": 2}
    held, free = world.file(feature(n=1, geometry=square(501, 50)), feature(n=2, geometry=square(701, 50)))
    assert held["state"] == "settled" and free["state"] == "pending"
    assert world.candidate("P1/1")["reason"] == "already_on_platform"


@pytest.mark.parametrize(("crs", "x", "y", "near"), [
    ("EPSG:4326", LON, LAT, 1e-9), ("EPSG:4490", LON, LAT, 1e-5), ("EPSG:4548", 623092.80, 3886520.99, 0.02),
    ("gk3", 623092.80, 3886520.99, 0.02), ("EPSG:3857", 13174661.7, 4176143.9, 0.5),
])  # fmt: skip
def test_output_coordinates(tmp_path: Path, crs: str, x: float, y: float, near: float) -> None:
    got = to_output(ApiSettings(data_dir=tmp_path, output_crs=crs), LON, LAT)
    assert got[0] == pytest.approx(x, abs=near) and (crs == "EPSG:3857" or got[1] == pytest.approx(y, abs=near))


def test_zones_and_local_systems(tmp_path: Path) -> None:
    assert (gauss_krueger(118.35), gauss_krueger(118.65)) == ("EPSG:4548", "EPSG:4549")
    plain = to_output(ApiSettings(data_dir=tmp_path, output_crs="gk3"), LON, LAT)
    shifted = ApiSettings(data_dir=tmp_path, output_crs="local", local_params=(10.0, -20.0, 1.0, 0.0))
    assert to_output(shifted, LON, LAT) == pytest.approx((plain[0] + 10, plain[1] - 20))
