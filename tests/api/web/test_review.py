"""审核: by keyboard, undone, kept through a dead network, and quick."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.api.web.desk import Desk, log_in, until

pytestmark = pytest.mark.browser
AFTER = ".pane[data-when=after]"


def ready(page: Page) -> None:
    """Waits until the pair of the present candidate stands on the screen."""
    expect(page.locator(".panel-head .kind")).to_be_visible()
    page.wait_for_function(
        """() => [...document.querySelectorAll('.pane-status')].every((one) => one.hidden)
             && document.querySelector('.pane canvas').width > 0"""
    )


def here(page: Page) -> str:
    """The id of the candidate on the screen."""
    href = page.locator(".facts a.mono").get_attribute("href") or ""
    return href.split("candidate=")[1].replace("%2F", "/")


def press(page: Page, key: str) -> str:
    """Presses a key on the present candidate, waits for the next; gives the id of the former."""
    before = here(page)
    page.keyboard.press(key)
    page.wait_for_function(
        """(id) => !document.querySelector('.facts a.mono')?.href.endsWith(encodeURIComponent(id))""", arg=before
    )
    return before


def saved(page: Page) -> None:
    expect(page.locator(".saved")).to_have_text("已全部保存")


def test_accept_reject_and_undo_by_key(desk: Desk, page: Page) -> None:
    ready(page)
    accepted = press(page, "a")
    rejected = press(page, "2")
    plain = press(page, "r")
    saved(page)
    found = desk.candidate(accepted)
    assert (found["state"], found["reviewer"]) == ("accepted", "zhang")
    assert desk.get(f"/cases/{found['case_id']}")["state"] == "filed"
    assert desk.candidate(rejected)["reason"] == "already_on_platform"
    assert desk.candidate(plain)["reason"] == "not_a_problem"

    for gone in (plain, rejected, accepted):
        page.keyboard.press("z")
        page.wait_for_function("(id) => document.querySelector('.facts a.mono').href.endsWith(id)", arg=quoted(gone))
    saved(page)
    until(page, lambda: all(desk.candidate(one)["state"] == "pending" for one in (accepted, rejected, plain)))
    assert desk.get(f"/cases/{found['case_id']}")["state"] == "withdrawn"
    assert press(page, "a") == accepted
    saved(page)
    assert desk.candidate(accepted)["state"] == "accepted"


def quoted(candidate_id: str) -> str:
    return candidate_id.replace("/", "%2F")


@pytest.mark.slow
def test_undo_before_it_was_sent_sends_nothing(desk: Desk, page: Page) -> None:
    ready(page)
    page.route("**/review", lambda route: route.abort())
    first = press(page, "a")
    second = press(page, "a")
    page.keyboard.press("u")
    page.wait_for_function("(id) => document.querySelector('.facts a.mono').href.endsWith(id)", arg=quoted(second))
    page.unroute("**/review")
    until(page, lambda: desk.candidate(first)["state"] == "accepted")
    saved(page)
    assert desk.candidate(second)["state"] == "pending"
    assert sum(event["subject"] == second and event["type"] == "candidate.reviewed" for event in desk.events()) == 0


def test_no_decision_is_lost_when_the_network_dies(desk: Desk, page: Page) -> None:
    ready(page)
    page.route("**/review", lambda route: route.abort())
    decided = {press(page, key): key for key in ("a", "1", "5", "a", "3")}
    expect(page.locator(".saved")).to_contain_text("待上传")
    assert all(desk.candidate(one)["state"] == "pending" for one in decided)
    page.close()

    again = desk_page_of(page)
    until(again, lambda: all(desk.candidate(one)["state"] != "pending" for one in decided))
    states = {key: desk.candidate(one)["state"] for one, key in decided.items()}
    assert states == {"a": "accepted", "1": "rejected", "5": "rejected", "3": "rejected"}
    told = [event["subject"] for event in desk.events() if event["type"] == "candidate.reviewed"]
    assert sorted(told) == sorted(decided)
    ready(again)
    saved(again)


def desk_page_of(page: Page) -> Page:
    """Another page of the same browser profile, as after a crash: what was kept on its disk is all it has."""
    again = page.context.new_page()
    again.goto(page.url)
    return again


@pytest.mark.slow
def test_an_answer_that_was_lost_is_not_told_as_a_conflict(desk: Desk, page: Page) -> None:
    ready(page)
    dropped: list[str] = []

    def lose(route: Route) -> None:
        if dropped:
            route.continue_()
            return
        # The server gets and does it; the browser never hears of it.
        route.fetch()
        dropped.append(route.request.url)
        route.abort()

    page.route("**/review", lose)
    first = press(page, "4")
    until(page, lambda: dropped)
    saved(page)
    assert desk.candidate(first)["reason"] == "on_record"
    expect(page.locator(".toast.bad")).to_have_count(0)
    assert sum(event["type"] == "candidate.reviewed" for event in desk.events()) == 1


def test_another_person_was_first(desk: Desk, page: Page) -> None:
    ready(page)
    mine = here(page)
    body = {"decision": "reject", "reason": "lawful"}
    # The lease is zhang's for five minutes; an officer's undo, or a lapse of it, gives it to another. Here: her own
    # second window.
    other = desk.api.post(
        "/auth/login", json={"name": "zhang", "password": "yunxun-test-2026"}, headers={"Authorization": ""}
    ).json()["access_token"]
    bearer = {"Authorization": f"Bearer {other}"}
    desk.api.post(f"/candidates/{mine}/review", json=body, headers=bearer).raise_for_status()
    press(page, "a")
    expect(page.locator(".toast.bad")).to_contain_text("您的结论未采用")
    assert desk.candidate(mine)["state"] == "rejected"
    saved(page)


@pytest.mark.slow
def test_zoom_and_comparison_stay_with_the_next(page: Page) -> None:
    ready(page)
    page.keyboard.press("+")
    page.keyboard.press("+")
    page.keyboard.press("w")
    assert page.locator(".viewer").get_attribute("data-mode") == "swipe"
    before = view_of(page)
    press(page, "1")
    ready(page)
    assert view_of(page) == before
    assert page.locator(".viewer").get_attribute("data-mode") == "swipe"
    page.keyboard.press("0")
    assert view_of(page) != before


def view_of(page: Page) -> Any:
    """How the screen is magnified, from what it draws: the colours of a coarse grid cannot tell, the view can."""
    return page.evaluate("() => document.querySelector('.viewer').dataset.view")


def test_the_pair_shows_the_same_ground(page: Page) -> None:
    """Both canvases are magnified and moved as one."""
    ready(page)
    page.mouse.move(300, 300)
    page.mouse.wheel(0, -600)
    pane = page.locator(AFTER).bounding_box()
    assert pane is not None
    page.mouse.move(pane["x"] + 200, pane["y"] + 200)
    page.mouse.down()
    page.mouse.move(pane["x"] + 260, pane["y"] + 220, steps=4)
    page.mouse.up()
    shift = page.evaluate(
        """() => {
          const strip = (when) => {
            const canvas = document.querySelector(`.pane[data-when=${when}] canvas`);
            const { data } = canvas.getContext('2d').getImageData(0, canvas.height - 40, canvas.width, 1);
            return Array.from({ length: canvas.width }, (_, x) => data[4 * x] + data[4 * x + 1] + data[4 * x + 2]);
          };
          const [a, b] = [strip('before'), strip('after')];
          const differ = (by) => a.reduce((sum, value, x) => sum + Math.abs(value - (b[x + by] ?? value)), 0);
          let best = 0;
          for (let by = -30; by <= 30; by += 1) if (differ(by) < differ(best)) best = by;
          return best;
        }"""
    )
    assert abs(shift) <= 1


def test_the_next_pair_is_there_when_the_key_is_pressed(page: Page) -> None:
    ready(page)
    page.wait_for_load_state("networkidle")
    for _ in range(10):
        press(page, "1")
        page.wait_for_timeout(250)
    page.wait_for_function("() => performance.getEntriesByName('key-to-image').length >= 10")
    measured = page.evaluate(
        "() => performance.getEntriesByName('key-to-image').map((one) => [one.duration, one.detail.ready])"
    )
    durations = sorted(duration for duration, _ in measured)
    print("key-to-image ms, p50, max:", durations[5], durations[9])
    assert sum(ok for _, ok in measured) >= 9
    # The bar of 100 ms is benchmarks/review.py's, on a quiet machine; here the whole suite runs beside us.
    assert durations[8] < 400


@pytest.mark.slow
def test_skip_comes_again_and_look_goes_to_another(desk: Desk, page: Page) -> None:
    ready(page)
    skipped = press(page, "s")
    looked = press(page, "l")
    saved(page)
    assert desk.candidate(skipped)["state"] == "pending"
    found = desk.candidate(looked)
    assert (found["state"], found["first_reviewer"]) == ("second", "zhang")


@pytest.mark.slow
def test_an_address_goes_with_the_acceptance(desk: Desk, page: Page) -> None:
    ready(page)
    mine = here(page)
    page.keyboard.press("e")
    page.keyboard.type("a北园路88号东门")
    page.keyboard.press("Enter")
    saved(page)
    found = until(page, lambda: (one := desk.candidate(mine))["case_id"] and one)
    assert desk.get(f"/cases/{found['case_id']}")["address"] == "a北园路88号东门"


@pytest.mark.slow
def test_an_empty_queue_says_so(desk: Desk, page: Page) -> None:
    ready(page)
    page.get_by_role("combobox", name="巡查").select_option(label="2026-11-08-北园片区-01")
    expect(page.locator(".review-empty")).to_contain_text("审核队列已清空")
    page.keyboard.press("a")
    page.keyboard.press("z")
    assert not [event for event in desk.events() if event["type"] == "candidate.reviewed"]


@pytest.mark.slow
def test_undo_goes_on_after_a_reload(desk: Desk, page: Page) -> None:
    ready(page)
    first = press(page, "1")
    second = press(page, "a")
    saved(page)
    page.reload()
    ready(page)
    for gone in (second, first):
        page.keyboard.press("z")
        page.wait_for_function("(id) => document.querySelector('.facts a.mono').href.endsWith(id)", arg=quoted(gone))
    saved(page)
    until(page, lambda: all(desk.candidate(one)["state"] == "pending" for one in (first, second)))


@pytest.mark.slow
def test_nobodys_decision_goes_out_under_anothers_name(desk: Desk, page: Page) -> None:
    ready(page)
    page.route("**/review", lambda route: route.abort())
    mine = press(page, "a")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="退出").click()
    log_in(page, "chen")
    page.unroute("**/review")
    ready(page)
    theirs = press(page, "1")
    saved(page)
    assert (desk.candidate(mine)["state"], desk.candidate(theirs)["reviewer"]) == ("pending", "chen")
    page.get_by_role("button", name="退出").click()
    log_in(page, "zhang")
    until(page, lambda: desk.candidate(mine)["reviewer"] == "zhang")
