"""From a reviewer's key to the next image: Chromium against a real server on a seeded town.

`python benchmarks/review.py [--decisions 60] [--pace-s 2.4] [--candidates 200]`

The bar: 100 ms at the 95th percentile, at 1,500 decisions an hour (one in 2.4 s). What is measured is the browser's own
timeline: from the key's time stamp to the second frame after the next pair was drawn, so that it has been shown. The
server runs in a process of its own with cold picture caches; the pace is kept by waiting, and a second round presses
twice as fast. Quote it with the machine's load, which is printed: everything beside us is in the number.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
PASSWORD = "yunxun-test-2026"
BAR_MS = 100.0
KEYS = "a1r2a5"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decisions", type=int, default=60)
    parser.add_argument("--pace-s", type=float, default=2.4)
    parser.add_argument("--candidates", type=int, default=200)
    wanted = parser.parse_args()
    path = next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
    )
    if not path:
        print("skipped: no Chromium on this machine (apt install chromium)")
        return 0
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        port = free_port()
        server = start(Path(folder), port, wanted.candidates)
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            page = browser.new_page(viewport={"width": 1366, "height": 768})
            log_in(page, f"http://127.0.0.1:{port}")
            rows = [(pace, *review(page, wanted.decisions, pace)) for pace in (wanted.pace_s, wanted.pace_s / 2)]
        finally:
            browser.close()
            server.terminate()
            server.wait(timeout=20)
    return report(rows)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def start(folder: Path, port: int, candidates: int) -> subprocess.Popen[str]:
    """The server of the browser tests, seeded; waits until it says that it is ready."""
    command = [sys.executable, "-m", "tests.api.web.server", "--data", str(folder), "--port", str(port),
               "--candidates", str(candidates), "--size-m", "200"]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment)
    assert server.stdout is not None
    line = server.stdout.readline()
    if not line.startswith("ready"):
        raise SystemExit(f"the server did not start: {line!r}")
    return server


def log_in(page: Page, base: str) -> None:
    page.goto(base)
    page.fill("input[name=name]", "zhang")
    page.fill("input[name=password]", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_selector(".panel-head .kind")
    page.wait_for_function("() => [...document.querySelectorAll('.pane-status')].every((one) => one.hidden)")


def review(page: Page, decisions: int, pace_s: float) -> tuple[list[dict[str, Any]], float]:
    """Decides at a pace; gives the measurements, and the seconds it took."""
    page.evaluate("() => performance.clearMeasures('key-to-image')")
    began = time.monotonic()
    for k in range(decisions):
        page.wait_for_timeout(max(0.0, began + (k + 1) * pace_s - time.monotonic()) * 1000)
        page.keyboard.press(KEYS[k % len(KEYS)])
    took = time.monotonic() - began
    page.wait_for_timeout(2000)
    measures = page.evaluate(
        "() => performance.getEntriesByName('key-to-image').map(({ duration, detail }) => ({ duration, ...detail }))"
    )
    page.wait_for_function("() => document.querySelector('.saved').textContent.includes('已全部保存')", timeout=60_000)
    return measures, took


def report(rows: list[tuple[float, list[dict[str, Any]], float]]) -> int:
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print("pace s | decisions/h | measured | ready at key | p50 ms | p95 ms | max ms | bar 100 ms p95")
    for pace_s, measures, took in rows:
        durations = sorted(one["duration"] for one in measures)
        if not durations:
            print(f"{pace_s:6.1f} | nothing was measured: the queue stayed empty")
            return 1
        p50, p95 = durations[len(durations) // 2], durations[min(int(len(durations) * 0.95), len(durations) - 1)]
        ready = sum(one["ready"] for one in measures) / len(measures)
        verdict = "met" if p95 <= BAR_MS else "missed"
        per_hour = 3600 * len(measures) / took
        cells = (f"{pace_s:6.1f}", f"{per_hour:11.0f}", f"{len(measures):8d}", f"{ready:12.0%}", f"{p50:6.0f}",
                 f"{p95:6.0f}", f"{durations[-1]:6.0f}", verdict)  # fmt: skip
        print(" | ".join(cells))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
