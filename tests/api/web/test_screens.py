"""Log-in, map and pencil, cases and events in order, patrols and jobs; and that nothing leaves the house."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from shapely.geometry import LinearRing, shape

from tests.api.web.desk import Desk, log_in, until
from tests.api.web.seed import BASELINE, CENTRE, PATROL

pytestmark = pytest.mark.browser


def test_a_wrong_password_is_told_and_a_right_one_remembered(desk: Desk) -> None:
    page = desk.blank()
    page.fill("input[name=name]", "zhang")
    page.fill("input[name=password]", "wrong-password")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("账号或密码不正确")
    log_in(page, "zhang")
    page.reload()
    expect(page.locator(".top .right")).to_contain_text("审核员")
    page.get_by_role("button", name="退出").click()
    expect(page.get_by_role("button", name="登录")).to_be_visible()
    assert page.evaluate("() => localStorage.getItem('yunxun.session')") is None


@pytest.mark.slow
def test_screens_by_role(desk: Desk) -> None:
    page = desk.blank()
    expected = {
        "zhang": ["审核", "地图", "案卷"],
        "wang": ["地图", "案卷", "巡查"],
        "li": ["审核", "地图", "案卷", "巡查", "值班", "设置"],
    }
    for person, names in expected.items():
        log_in(page, person)
        assert page.locator("nav[aria-label=主导航] a").all_inner_texts() == names
        page.get_by_role("button", name="退出").click()
        expect(page.get_by_role("button", name="登录")).to_be_visible()


@pytest.mark.slow
def test_an_ended_session_is_renewed_unseen(desk: Desk, page: Page) -> None:
    expect(page.locator(".panel-head .kind")).to_be_visible()
    page.evaluate(
        """() => {
          const kept = JSON.parse(localStorage.getItem('yunxun.session'));
          localStorage.setItem('yunxun.session', JSON.stringify({ ...kept, access_token: 'yxa_gone' }));
        }"""
    )
    desk.go(page, "cases")
    page.wait_for_function("() => !localStorage.getItem('yunxun.session')?.includes('yxa_gone')")
    expect(page.get_by_text("没有符合条件的案卷")).to_be_visible()
    expect(page.locator(".top .right")).to_contain_text("审核员")


def map_ready(page: Page) -> None:
    expect(page.locator(".map-box canvas")).to_have_count(1)
    expect(page.get_by_text("共 48 处")).to_be_visible()
    page.wait_for_function("() => document.querySelectorAll('.leaflet-tile-loaded').length > 3")


def test_a_person_draws_what_was_missed_and_the_feed_tells_it_in_order(desk: Desk, page: Page) -> None:
    desk.go(page, "map")
    map_ready(page)
    before = len(desk.events())
    page.get_by_role("button", name="补画疑点").click()
    box = page.locator(".map-box").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for dx, dy in ((0, 0), (40, 0), (40, 30)):
        page.mouse.click(x + dx, y + dy)
    page.mouse.dblclick(x, y + 30)
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("违法建设").check()
    dialog.get_by_role("combobox", name="具体类型").select_option("shed")
    dialog.get_by_label("位置描述").fill("北园路与通达路交汇处西北角")
    dialog.get_by_label("直接立案上报").check()
    dialog.get_by_role("button", name="保存").click()
    expect(page.locator(".toast")).to_contain_text("LY-WRJ-")

    (mine,) = [one for one in desk.get("/candidates", patrol_id=PATROL, limit=100)["items"] if one["drawn_by"]]
    assert (mine["family"], mine["label"], mine["state"]) == ("construction", "shed", "accepted")
    assert len(mine["geometry"]["coordinates"][0]) == 5
    assert shape(mine["geometry"]).distance(shape({"type": "Point", "coordinates": CENTRE})) < 0.001
    assert desk.get(f"/cases/{mine['case_id']}")["address"] == "北园路与通达路交汇处西北角"
    kinds = [event["type"] for event in desk.events()[before:]]
    # The evidence is gathered behind the answer: its event may be there already, or follow.
    assert kinds[:3] == ["candidate.created", "candidate.reviewed", "case.filed"]
    assert set(kinds[3:]) <= {"case.evidence"}

    desk.go(page, "cases?tab=events")
    rows = page.locator("ol.events li")
    expect(rows.first).to_have_attribute("data-type", re.compile("case.filed|case.evidence"))

    def in_order() -> bool:
        shown = rows.evaluate_all("rows => rows.map((row) => row.dataset.id)")
        return len(shown) > 3 and shown == [event["id"] for event in reversed(desk.events())][: len(shown)]

    until(page, in_order)


def test_events_arrive_while_one_looks(desk: Desk) -> None:
    page = desk.open("zhang", "cases?tab=events")
    rows = page.locator("ol.events li")
    expect(page.get_by_text("实时更新")).to_be_visible()
    expect(rows.first).to_be_visible()
    target = f"{PATROL}/20"
    desk.api.post(f"/candidates/{target}/review", json={"decision": "look"}).raise_for_status()
    expect(rows.first).to_have_attribute("data-type", "candidate.reviewed")
    expect(rows.first).to_contain_text("再看")


@pytest.mark.slow
def test_the_map_swipes_and_opens_a_card(desk: Desk, page: Page) -> None:
    desk.go(page, f"map?candidate={PATROL}%2F1")
    card = page.locator(".map-side")
    expect(card).to_contain_text("疑点 1")
    expect(card.locator("figure.chip img")).to_have_count(2)
    page.get_by_role("button", name="前后卷帘").click()
    divider = page.get_by_role("slider", name="前后期卷帘分隔线")
    expect(divider).to_have_attribute("aria-valuenow", "50")
    divider.focus()
    page.keyboard.press("ArrowLeft")
    expect(divider).to_have_attribute("aria-valuenow", "45")
    layers = {url.split("layer=")[1] for url in desk.requests if "/tiles/" in url}
    assert layers == {"before", "after"}
    card.get_by_role("button", name="属实上报").click()
    expect(card).to_contain_text("已上报")
    assert desk.candidate(f"{PATROL}/1")["reviewer"] == "zhang"
    card.get_by_role("button", name="撤销结论").click()
    expect(card).to_contain_text("待审核")


def test_a_case_shows_its_chain_and_the_platforms_answer(desk: Desk) -> None:
    body = {"decision": "accept", "address": "通达路15号院内"}
    case = desk.api.post(f"/candidates/{PATROL}/2/review", json=body).json()["case"]
    status = {"state": "registered", "platform_no": "LY2026110815"}
    desk.api.post(f"/cases/{case['id']}/status", json=status).raise_for_status()
    page = desk.open("zhang", "cases")
    row = page.locator("table.list tbody tr").first
    expect(row).to_contain_text("已立案")
    row.get_by_role("link").click()
    expect(page.get_by_role("heading", name=case["number"])).to_be_visible()
    expect(page.get_by_text("记录链完整")).to_be_visible()
    history = page.locator("ol.history li")
    expect(history.first).to_contain_text("上报立卷")
    expect(history.filter(has_text="平台回写")).to_contain_text("LY2026110815")
    expect(page.locator("figure.chip img").first).to_be_visible()
    expect(page.get_by_role("button", name="撤回")).to_have_count(0)


@pytest.mark.slow
def test_what_lacks_an_address_is_filed_from_its_list(desk: Desk, page: Page) -> None:
    patrol = {"id": "P-NO-PLACE", "name": "无地点巡查"}
    desk.api.post("/patrols", json=patrol).raise_for_status()
    feature = {
        "type": "Feature", "patrol_id": "P-NO-PLACE",
        "geometry": {"type": "Polygon", "coordinates": [[[118.4, 35.1], [118.4002, 35.1], [118.4002, 35.1002],
                                                         [118.4, 35.1]]]},
        "properties": {"n": 1, "family": "sanitation", "label": "litter", "probability": 0.7, "area_m2": 80.0},
    }  # fmt: skip
    desk.api.post("/sites", json=feature).raise_for_status()
    answer = desk.api.post("/candidates/P-NO-PLACE/1/review", json={"decision": "accept"}).json()
    assert answer["waits_for"] == "address"
    desk.go(page, "cases?tab=address")
    page.get_by_role("textbox", name="位置描述").fill("汤庄社区南侧空地")
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text("已立卷")
    assert desk.candidate("P-NO-PLACE/1")["case_id"]
    expect(page.get_by_text("没有待补位置的疑点")).to_be_visible()


def test_a_pilot_uploads_and_starts_a_job(desk: Desk, tmp_path: Path) -> None:
    page = desk.open("wang", "patrols")
    page.get_by_role("button", name="新建巡查").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("名称").fill("2026-11-23-金雀山-01")
    dialog.get_by_label("前期").select_option(BASELINE)
    dialog.get_by_role("button", name="建立").click()
    expect(page.get_by_role("heading", name="2026-11-23-金雀山-01")).to_be_visible()
    files = [picture(tmp_path / f"DJI_{k:04d}.JPG", k) for k in range(6)]
    broken = tmp_path / "DJI_0099.JPG"
    broken.write_bytes(b"no photograph")
    page.set_input_files("#frames-pick", [*files, broken])
    expect(page.locator(".upload-status")).to_contain_text("已上传 6 张")
    expect(page.locator(".refused")).to_contain_text("DJI_0099.JPG")
    page.get_by_role("button", name="开始拼接与识别").click()
    job = page.locator("li.job")
    expect(job).to_contain_text("排队")
    job.get_by_role("button", name="取消").click()
    expect(job).to_contain_text("已取消")
    job.get_by_role("button", name="重试").click()
    expect(job).to_contain_text("排队")


def picture(path: Path, k: int) -> Path:
    rng = np.random.default_rng(k)
    Image.fromarray(rng.integers(0, 255, (120, 160, 3), dtype=np.uint8)).save(path, quality=90)
    return path


NAMELESS = """() => [...document.querySelectorAll('button, input, select, textarea')].filter((one) =>
  !(one.getAttribute('aria-label') || one.title || one.textContent.trim() || one.labels?.length)
).map((one) => one.outerHTML)"""
SIZES = ((1366, 768), (1024, 768), (768, 1024))
SCREENS = {
    "review": ".panel-head .kind",
    "map": ".map-box canvas",
    "cases": "table.list",
    "cases?tab=events": ".events li",
    "patrols": ".patrol-detail h2",
    "duty": ".tiles",
}


def test_every_screen_is_ours_named_and_within_its_window(desk: Desk) -> None:
    """No font, tile or script from elsewhere (the city's network is closed); names for those who hear; no spilling."""
    page = desk.open("li")
    for path, mark in SCREENS.items():
        desk.go(page, path)
        expect(page.locator(mark).first).to_be_visible()
        assert not page.evaluate(NAMELESS), path
        for width, height in SIZES:
            page.set_viewport_size({"width": width, "height": height})
            spill = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
            assert spill <= 0, (path, width, spill)
            if path == "review":
                expect(page.get_by_role("button", name="属实上报")).to_be_in_viewport(ratio=1)
    outside = [url for url in desk.requests if not url.startswith((desk.base, "blob:", "data:"))]
    assert desk.requests and not outside


@pytest.mark.slow
def test_self_crossing_outlines_are_known(desk: Desk) -> None:
    page = desk.blank()
    rng = np.random.default_rng(3)
    rings = [rng.uniform(0, 1, (int(rng.integers(3, 9)), 2)).round(4).tolist() for _ in range(200)]
    told: list[Any] = page.evaluate(
        """async (rings) => {
          const { crosses } = await import('./js/map/rings.js');
          return rings.map(crosses);
        }""",
        json.loads(json.dumps(rings)),
    )
    assert told == [not LinearRing(ring).is_simple for ring in rings]
    assert 25 < sum(told) < 175


def test_evidence_and_a_dossier_that_can_be_taken_along(desk: Desk) -> None:
    body = {"decision": "accept", "address": "通达路15号院内"}
    case = desk.api.post(f"/candidates/{PATROL}/3/review", json=body).json()["case"]
    page = desk.open("li", f"cases/{case['id']}")
    files = page.locator("ul.files li")
    expect(files.first).to_be_visible()
    expect(page.locator("ul.files")).to_contain_text("原始照片")
    with page.expect_download() as taken:
        page.get_by_role("button", name="下载证据包").click()
    assert taken.value.suggested_filename == f"{case['number']}.zip"
    assert zipfile.is_zipfile(taken.value.path())
    page.get_by_role("button", name="取原件").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("调取理由").fill("行政处罚立案取证")
    with page.expect_download() as original:
        dialog.get_by_role("button", name="调取", exact=True).click()
    digest = hashlib.sha256(original.value.path().read_bytes()).hexdigest()
    assert original.value.suggested_filename == f"{digest[:12]}.jpg"


@pytest.mark.slow
def test_an_admin_makes_and_closes_an_account(desk: Desk) -> None:
    page = desk.open("root", "setup")
    form = page.get_by_role("form", name="新建账号")
    form.get_by_label("账号").fill("sun")
    form.get_by_label("密码").fill("a-password-of-16")
    form.get_by_label("角色").select_option(label="审核员")
    form.get_by_role("button", name="新建").click()
    row = page.get_by_role("row", name="sun")
    expect(row).to_contain_text("启用")
    page.on("dialog", lambda dialog: dialog.accept())
    row.get_by_role("button", name="停用").click()
    expect(row).to_contain_text("停用")
    assert [one["active"] for one in desk.get("/auth/users") if one["name"] == "sun"] == [False]


@pytest.mark.slow
def test_the_list_is_exported(desk: Desk) -> None:
    body = {"decision": "accept", "address": "=通达路15号院内"}
    case = desk.api.post(f"/candidates/{PATROL}/3/review", json=body).json()["case"]
    page = desk.open("li", "cases")
    expect(page.locator("table.list tbody tr")).to_have_count(1)

    def taken(button: str) -> Path:
        with page.expect_download() as download:
            page.get_by_role("button", name=button, exact=True).click()
        return download.value.path()

    assert zipfile.is_zipfile(taken("导出 Excel"))
    for button in ("CSV", "GeoJSON"):
        text = taken(button).read_text("utf-8-sig")
        assert case["number"] in text
        assert button == "GeoJSON" or "'=通达路" in text


def test_the_officer_sees_who_flies_what_and_who_agrees(desk: Desk, tmp_path: Path) -> None:
    decided = desk.get("/candidates", state="pending", limit=3)["items"]
    for one in decided:
        desk.api.post(
            f"/candidates/{one['id']}/review", json={"decision": "reject", "reason": "lawful"}
        ).raise_for_status()
    desk.api.put(f"/candidates/{decided[0]['id']}/gold").raise_for_status()
    plan = a_plan(tmp_path)
    desk.api.post("/patrols", json={"id": PATROL, "paths": {"plan": str(plan)}}).raise_for_status()
    position = {
        "lon": CENTRE[0],
        "lat": CENTRE[1],
        "height_rel_m": 84,
        "yaw_deg": 90,
        "battery": 0.6,
        "sortie_id": "P/S01",
    }
    desk.api.put("/fleet/7", json={**position, "at": datetime.now(UTC).isoformat()}).raise_for_status()
    page = desk.open("li", "duty")
    row = page.locator("section[aria-label='审核员（今日）'] tbody tr").first
    expect(row).to_contain_text("conductor")
    expect(row.locator("td").nth(1)).to_have_text("3")
    desk.go(page, f"map?patrol={PATROL}")
    expect(page.locator(".aircraft b")).to_have_text("S01")
    expect(page.get_by_label("在飞")).to_have_text("在飞 1 架")
    desk.go(page, f"patrols/{PATROL}")
    expect(page.locator("section[aria-label=架次] tbody")).to_contain_text("请飞手执行")
    with page.expect_download() as taken:
        page.get_by_role("button", name=".kmz").click()
    assert Path(taken.value.path()).read_bytes() == b"PK-kmz"
    desk.go(page, "setup")
    expect(page.locator("section[aria-label=留存与容量]")).to_contain_text("171,000 张照片")


@pytest.mark.slow
def test_the_platforms_refusal_reaches_the_reviewer(desk: Desk) -> None:
    (one,) = desk.get("/candidates", state="pending", limit=1)["items"]
    body = {"decision": "accept", "address": "北园路12号"}
    case = desk.api.post(f"/candidates/{one['id']}/review", json=body).json()["case"]
    refusal = {"state": "refused", "reason": "属于在建合法工地"}
    desk.api.post(f"/cases/{case['id']}/status", json=refusal).raise_for_status()
    page = desk.open("zhang", "cases?tab=refused")
    expect(page.locator("ul.lacking li")).to_have_count(1)
    expect(page.locator("ul.lacking li .notice")).to_have_text("属于在建合法工地")


def a_plan(folder: Path) -> Path:
    """A plan of one sortie for a DJI aircraft, as `missions` writes it."""
    (folder / "sorties").mkdir()
    files = {kind: f"sorties/S01.{kind}" for kind in ("plan", "waypoints", "kmz")}
    for kind, name in files.items():
        (folder / name).write_bytes(b"PK-kmz" if kind == "kmz" else b"{}")
    camera = {
        "model": "M30",
        "width_px": 4000,
        "height_px": 3000,
        "focal_mm": 4.5,
        "sensor_width_mm": 6.4,
        "gsd_m": 0.03,
    }
    sortie = {
        "id": f"{PATROL}/S01", "home": [*CENTRE, 60.0], "crew": "C01", "start_utc": "2026-11-23T01:00:00Z",
        "distance_m": 3600.0, "duration_s": 360.0, "energy_wh": 30.0, "photos": 128, "files": files,
    }  # fmt: skip
    plan = {
        "schema_version": 1, "plan_id": PATROL, "created_utc": "2026-11-22T23:00:00Z", "aircraft": "m30",
        "camera": camera,
        "front_overlap": 0.75, "side_overlap": 0.65, "height_agl_m": 84.0, "lane_m": 40.0, "sorties": [sortie],
        "coverage": {"area_m2": 1.0, "seen_once": 1.0, "seen_twice": 1.0}, "refused": [],
    }  # fmt: skip
    (folder / "plan.json").write_text(json.dumps(plan))
    return folder / "plan.json"
