"""A browser, and a real server on a copy of a seeded database for every test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from api.settings import ApiSettings
from tests.api.web.desk import Desk
from tests.api.web.seed import build_place, file_over_http
from tests.api.web.server import prepare, running

CANDIDATES = 48
# The machine that runs us runs much else.
expect.set_options(timeout=20_000)
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def chromium() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Not for the session: while it lives, the main thread has a running event loop, and no other test may start one.
    path = chromium()
    if path is None:
        pytest.skip("no Chromium on this machine (apt install chromium)")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A data folder with a town, people and candidates, and an admin's token."""
    folder = tmp_path_factory.mktemp("seeded")
    place = build_place(folder / "place", size_m=110.0)
    settings = ApiSettings(data_dir=folder / "data")
    settings.data_dir.mkdir()
    token = prepare(settings)
    with running(settings) as base:
        created = file_over_http(base, token, place, CANDIDATES)
    assert created == CANDIDATES
    return settings.data_dir, token


@pytest.fixture
def desk(seeded: tuple[Path, str], browser: Browser, tmp_path: Path) -> Iterator[Desk]:
    """A running server of the test's own, and pages to look at it with."""
    template, token = seeded
    settings = ApiSettings(data_dir=tmp_path / "data")
    shutil.copytree(template, settings.data_dir)
    with running(settings) as base:
        made = Desk(base, token, browser)
        yield made
        made.close()


@pytest.fixture
def page(desk: Desk) -> Page:
    """A reviewer's page, logged in."""
    return desk.open("zhang")
