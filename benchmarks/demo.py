"""The demo on five seeds: what was found of what is true, and how long it took.

    python benchmarks/demo.py [--seeds 1 2 3 4 5]

Bars: all three unpermitted buildings found; the permitted one not filed; at least 3 of 4 heaps; at most 3 false
candidates; at most 240 s of wall clock on 2 quiet cores.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def run(seed: int, folder: Path) -> dict[str, float]:
    """One demo in a process tree of its own; its result with wall and CPU seconds."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [sys.executable, "-m", "yunxun.cli", "demo", "--no-serve", "--json", "--seed", str(seed)]
    done = subprocess.run([*command, "--out", str(folder / str(seed))], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {**json.loads(done.stdout), "wall_s": time.monotonic() - began, "cpu_s": cpu_s}


def met(result: dict[str, float]) -> bool:
    """Whether a seed meets every bar."""
    return (
        result["unpermitted_found"] == result["unpermitted"] == 3
        and result["permitted_filed"] == 0
        and result["heaps_found"] >= 3
        and result["false"] <= 3
        and result["wall_s"] <= 240
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    seeds = parser.parse_args().seeds
    print("seed  unpermitted  permitted filed  heaps  false  cases  wall s  CPU s  bars")
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            r = run(seed, Path(folder))
            missed += not met(r)
            print(
                f"{seed:>4}  {r['unpermitted_found']:>5} of {r['unpermitted']}  {r['permitted_filed']:>15}  "
                f"{r['heaps_found']} of {r['heaps']}  {r['false']:>5}  {r['cases_filed']:>5}  {r['wall_s']:>6.0f}  "
                f"{r['cpu_s']:>5.0f}  {'met' if met(r) else 'MISSED'}",
                flush=True,
            )
    print(f"{len(seeds) - missed} of {len(seeds)} seeds meet every bar")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
