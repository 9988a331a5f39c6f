"""What tests say to the web app and to the API behind it, in few words."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
from playwright.sync_api import Browser, BrowserContext, Page

from tests.api.web.server import PASSWORD


class Desk:
    """A server, its API by an admin's token, and browser contexts of people."""

    def __init__(self, base: str, token: str, browser: Browser) -> None:
        self.base = base
        self.api = httpx.Client(base_url=f"{base}/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=30)
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self.faults: list[str] = []
        self.requests: list[str] = []
        self.refusals: list[str] = []

    def blank(self, width: int = 1366, height: int = 768) -> Page:
        """A page that nobody has logged in on; errors in its scripts fail the test at the end."""
        context = self._browser.new_context(viewport={"width": width, "height": height}, locale="zh-CN")
        context.set_default_timeout(20_000)
        self._contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on(
            "response",
            lambda answer: self.refusals.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None,
        )
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(self.base)
        return page

    def open(self, name: str, path: str = "", **size: int) -> Page:
        """A page on which this person has logged in, at `#/path`; without one at their first screen."""
        page = self.blank(**size)
        if path:
            self.go(page, path)
        log_in(page, name)
        return page

    def go(self, page: Page, path: str) -> None:
        """Goes to `#/path`."""
        page.evaluate("hash => { location.hash = hash; }", f"#/{path}")

    def get(self, path: str, **query: Any) -> Any:
        answer = self.api.get(path, params=query)
        answer.raise_for_status()
        return answer.json()

    def candidate(self, candidate_id: str) -> dict[str, Any]:
        return dict(self.get(f"/candidates/{candidate_id}"))

    def events(self) -> list[dict[str, Any]]:
        """All events, oldest first."""
        return list(self.get("/feed", limit=5000))

    def close(self) -> None:
        for context in self._contexts:
            context.close()
        self.api.close()
        assert not self.faults, self.faults
        assert not [one for one in self.refusals if one.startswith("5")], self.refusals


def log_in(page: Page, name: str, password: str = PASSWORD) -> None:
    page.fill("input[name=name]", name)
    page.fill("input[name=password]", password)
    page.click("button[type=submit]")
    page.wait_for_selector("nav[aria-label=主导航]")


def until(page: Page, what: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Waits until `what()` is true, and gives it; the page's own routes go on meanwhile."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, f"waited {seconds} s in vain"
        page.wait_for_timeout(100)
    return found
