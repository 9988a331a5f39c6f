"""How well candidates are found: simulated towns, composites, no-change photographs, real dumps, speed, merging.

One frozen threshold per family (the model cards') for all rows; places unseen in training; intervals by place.

    python benchmarks/detect.py                      # a quick look: 3 towns from perfect mosaics, merging, real sets
    python benchmarks/detect.py --rows towns --towns 20 --from-frames    # the whole pipeline, about 2.5 CPU-h

Rows that need `../shared/data` say so and are left out where it is absent.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from _evidence import Weights, evidence_of
from _towns import busy, real_pair, roomy_m, town_from_frames, write_town

from imagery.errors import ImageryError
from inference.detect import detect_patrol
from inference.merge import merge_boxes
from inference.registry import serving_model
from inference.training.evaluate import LEAST_M2, judge_held_out
from inference.training.scoring import Case, average_precision, mistakes, score, tally
from inference.waste import probabilities

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"
FIRST_SEED = 9000
# The machine's own speed varies by a fifth from one minute to the next.
SPEED_RUNS = 9


def thresholds() -> dict[str, float]:
    """The probability from which each serving model files, by family."""
    return {f: serving_model(m).card.threshold for f, m in (("construction", "change"), ("sanitation", "waste"))}


def line(what: str, bar: str, got: str) -> None:
    """Prints one row: what, its bar, what was measured."""
    print(f"{what:<58} | {bar:<44} | {got}", flush=True)


def report(what: str, cases: list[Case], bars: dict[str, str]) -> None:
    """Prints a row a family: every measure with its 95 % interval by place."""
    frozen = thresholds()
    for family, bar in bars.items():
        m = score(cases, family, frozen[family], LEAST_M2[family])
        got = (
            f"recall {m['recall']}, precision {m['precision']}, false/km2 {m['false_per_km2']}, AP50 {m['ap50']}, "
            f"ECE {m['ece']}, candidates/object {m['duplicates']}, permitted filed {m['permitted_filed'].value:.0f}, "
            f"n {m['wanted'].value:.0f}"
        )
        line(f"{what}: {family}", bar, got)


def weights() -> Weights:
    """Calibration by family: what the serving models weigh their evidence with."""
    return {
        "construction": serving_model("change").card.calibration,
        "sanitation": serving_model("waste").card.calibration,
    }


def told(case: Case) -> str:
    """What one town counts against the models, thing by thing."""
    frozen, said = thresholds(), []
    for family, least in LEAST_M2.items():
        t = tally(case, family, frozen[family], least)
        said.append(f"{family} {t.hit}/{t.wanted}, {t.false} false, {t.filed_permitted} permitted filed")
        for m in mistakes(case, family, frozen[family], least):
            sure = "-" if m.probability is None else f"{m.probability:.2f}"
            at = f"{m.polygon.centroid.x:.0f}, {m.polygon.centroid.y:.0f}"
            said.append(f"{m.kind} {m.area_m2:.1f} m2 at {at} (p {sure})")
    return "; ".join(said)


def row_towns(args: argparse.Namespace, work: Path) -> None:
    """Simulated towns that no network learnt from, two days each."""
    cases, cpu, hectares = [], 0.0, 0.0
    models = (serving_model("change"), serving_model("waste"))
    for seed in range(FIRST_SEED, FIRST_SEED + args.towns):
        folder = work / f"town-{seed}"
        if args.from_frames:
            town = town_from_frames(seed, folder, args.size_m, args.rich)
        else:
            town = write_town(seed, folder, roomy_m(seed, args.size_m, args.rich), busy(seed), rich=args.rich)
        started = time.process_time()
        seen = evidence_of(f"town-{seed}", town, models)
        cpu += time.process_time() - started
        hectares += town.area_m2 / 1e4
        cases.append(seen.case(weights()))
        print(f"town {seed}: {told(cases[-1])}", flush=True)
    source = "from frames" if args.from_frames else "from perfect mosaics, disturbed"
    source += ", with clutter" if args.rich else ""
    report(
        f"{args.towns} unseen towns, {source}",
        cases,
        {
            "construction": "recall >= 0.95 at precision >= 0.80, <= 3 false/km2",
            "sanitation": "recall >= 0.90 at <= 10 false/km2, AP50 >= 0.75",
        },
    )
    line("CPU-seconds per hectare, 8 cm, everything weighed", "-", f"{cpu / hectares:.2f}")


def row_composites(args: argparse.Namespace, work: Path) -> None:
    """Rendered things on photographs of held-out places."""
    from simulators.composite import sample_photographs, write_composites

    write_composites(work / "composites", sample_photographs(DATA, "held-out"), args.composites, seed=77)
    scenes = judge_held_out([work / "composites"], None, every=True)
    bar = "recall >= 0.85 at precision >= 0.70"
    report("composites on held-out photographs", [s.case() for s in scenes], dict.fromkeys(LEAST_M2, bar))


def row_unchanged(args: argparse.Namespace, work: Path) -> None:
    """Two flights over one unchanged place: what is found there is false."""
    total = 0
    for name in ("toledo", "caliterra"):
        try:
            request = real_pair(name, DATA, work / name)
        except ImageryError as error:
            line(f"real pair without change: {name}", "<= 1 false structure in all", f"not stitched: {error}")
            continue
        sites = detect_patrol(request)
        structures = [f for f in sites.features if f.properties.family == "construction"]
        waste = len(sites.features) - len(structures)
        total += len(structures)
        poor = (sites.model_extra or {}).get("notes", {})
        line(
            f"real pair without change: {name}",
            "<= 1 false structure in all",
            f"{len(structures)}; waste {waste}; {poor}",
        )
    line("real pairs without change, those stitched", "<= 1 false structure in all", str(total))


def row_dumps(args: argparse.Namespace, work: Path) -> None:
    """Tiles of two real frames, ranked by waste."""
    marks = json.loads((ROOT / "benchmarks" / "marks" / "dump_scenes.json").read_text())
    model = serving_model("waste")
    scored: list[tuple[float, bool]] = []
    side = marks["tile_px"]
    scale = marks["gsd_m"] / model.card.gsd_m
    for name, tiles in marks["tiles"].items():
        image = cv2.cvtColor(cv2.imread(str(DATA / "dump_scenes" / name)), cv2.COLOR_BGR2RGB)
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        height, width = (32 * int(np.ceil(n / 32)) for n in small.shape[:2])
        padded = cv2.copyMakeBorder(
            small, 0, height - small.shape[0], 0, width - small.shape[1], cv2.BORDER_REFLECT_101
        )
        field = probabilities(model, padded, np.ones((height, width), bool))[0]
        step = side * scale / 2
        real = {tuple(t) for t in tiles}
        for row in range(image.shape[0] // side):
            for col in range(image.shape[1] // side):
                cut = field[int(row * step) : int((row + 1) * step), int(col * step) : int((col + 1) * step)]
                best = np.sort(cut.ravel())[-max(1, cut.size // 50) :]
                scored.append((float(best.mean()), (row, col) in real))
    share = sum(r for _, r in scored) / len(scored)
    ap = average_precision(scored, sum(r for _, r in scored))
    line(
        "dump_scenes: tiles with waste ranked above those without",
        "AP >= 0.7 (never trained on)",
        f"{ap:.3f} (chance {share:.3f})",
    )


def row_merge(args: argparse.Namespace, work: Path) -> None:
    """A hundred thousand boxes merged, in CPU seconds."""
    rng = np.random.default_rng(1)
    low = rng.uniform(0, 20_000, (100_000, 2))
    boxes, scores = np.hstack([low, low + rng.uniform(8, 60, (100_000, 2))]), rng.random(100_000)
    started = time.process_time()
    merged, _, _ = merge_boxes(boxes, scores)
    line("100,000 boxes merged", "<= 1 s", f"{time.process_time() - started:.2f} CPU-s, {len(merged)} left")
    try:
        from sahi.postprocess.combine import nms
    except ImportError:
        line("SAHI on the same boxes", "-", "not installed (pip install --no-deps sahi fire termcolor)")
        return
    table = np.hstack([boxes, scores[:, None], np.zeros((len(boxes), 1))])
    started = time.process_time()
    kept = nms(table, match_metric="IOS", match_threshold=0.5)
    line("SAHI NMS on the same boxes", "-", f"{time.process_time() - started:.2f} CPU-s, {len(kept)} left")


def row_speed(args: argparse.Namespace, work: Path) -> None:
    """Both families from a 3 cm mosaic of a hectare and a half, the first run not counted."""
    town = write_town(FIRST_SEED, work / "speed", 120.0, busy(FIRST_SEED), gsd_m=0.03)
    detect_patrol(town.request)
    spent = []
    for _ in range(SPEED_RUNS):
        started = time.process_time()
        detect_patrol(town.request)
        spent.append((time.process_time() - started) / (town.area_m2 / 1e4))
    got = f"median {np.median(spent):.2f} of {SPEED_RUNS}, {min(spent):.2f} to {max(spent):.2f}"
    line("CPU-seconds per hectare from a 3 cm mosaic, both families", "<= 3", got)


_MEMORY_CODE = """
import sys
from pathlib import Path
from inference.detect import BaselineFiles, DetectRequest, detect_patrol
after, height_after, before, height_before = map(Path, sys.argv[1:])
request = DetectRequest(mosaic=after, dsm=height_after, baseline=BaselineFiles(before, height_before))
found = len(detect_patrol(request).features)
# Not ru_maxrss: a child inherits its parent's.
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak) / 1024, found)
"""


def _spread(source: Path, out: Path, side_px: int, places: int) -> Path:
    """A raster of `side_px`, empty but for a town's raster pasted `places` by `places` times."""
    import rasterio

    with rasterio.open(source) as town:
        block, profile = town.read(), town.profile
    profile |= {"width": side_px, "height": side_px, "sparse_ok": True, "BIGTIFF": "YES"}
    step = (side_px - block.shape[1]) // max(1, places - 1)
    with rasterio.open(out, "w", **profile) as dataset:
        for row in range(places):
            for col in range(places):
                at = (row * step // 512 * 512, col * step // 512 * 512)
                window = ((at[0], at[0] + block.shape[1]), (at[1], at[1] + block.shape[2]))
                dataset.write(block, window=window)
        dataset.build_overviews([2, 4, 8, 16, 32])
    return out


def row_memory(args: argparse.Namespace, work: Path) -> None:
    """A 40,000 px raster (a mosaic of 1.2 km at 3 cm) on two days, sparse so that it fits on a small disk."""
    town = write_town(FIRST_SEED, work / "memory", 120.0, busy(FIRST_SEED), gsd_m=0.03).request
    assert town.dsm is not None and town.baseline is not None and town.baseline.dsm is not None
    files = []
    for number, path in enumerate((town.mosaic, town.dsm, town.baseline.mosaic, town.baseline.dsm)):
        side = 40_000 if number % 2 == 0 else 10_000
        files.append(str(_spread(path, work / f"large-{number}.tif", side, 3)))
    code = [sys.executable, "-c", _MEMORY_CODE, *files]
    done = subprocess.run(code, capture_output=True, text=True, check=True)
    peak, found = map(float, done.stdout.split())
    line("memory, 40,000 px, two days with surfaces, own process", "<= 1 GB", f"{peak:.0f} MB, {found:.0f} candidates")


def row_sahi(args: argparse.Namespace, work: Path) -> None:
    """Tiling and merging, ours and SAHI's, with the same network on the same mosaic."""
    town = write_town(FIRST_SEED + 1, work / "sahi", 200.0, busy(FIRST_SEED + 1))
    try:
        from _sahi import side_by_side

        ours, theirs = side_by_side(serving_model("waste"), town.request.mosaic, town.truth, town.area_m2)
    except ImportError as error:
        line("SAHI with the same network", "-", f"left out: {error} (pip install --no-deps sahi fire termcolor)")
        return
    line("tiling and merging, 200 m town: ours", "side by side", str(ours))
    line("tiling and merging, 200 m town: SAHI, 512 px, overlap 0.25", "-", str(theirs))


def row_engines(args: argparse.Namespace, work: Path) -> None:
    """One window on one core by each engine there is, and how far each is from torch."""
    from _engines import timed_engines

    for name in ("change", "waste"):
        for engine, (cpu_s, apart) in timed_engines(serving_model(name)).items():
            line(f"one 512 px window, {name}: {engine}", "parity 1e-3", f"{cpu_s:.3f} CPU-s, {apart:.1e} from torch")


ROWS: dict[str, Callable[[argparse.Namespace, Path], None]] = {
    "merge": row_merge,
    "engines": row_engines,
    "sahi": row_sahi,
    "memory": row_memory,
    "speed": row_speed,
    "towns": row_towns,
    "composites": row_composites,
    "unchanged": row_unchanged,
    "dumps": row_dumps,
}
NEEDS_DATA = ("composites", "unchanged", "dumps")


def main() -> int:
    """Runs the rows asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--towns", type=int, default=3)
    parser.add_argument("--size-m", type=float, default=240.0)
    parser.add_argument("--composites", type=int, default=30)
    parser.add_argument("--from-frames", action="store_true")
    parser.add_argument("--rich", action="store_true", help="towns with clutter that moves, more roofs and dumps")
    parser.add_argument("--work", type=Path, default=None, help="kept; what is there already is not made again")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    print(f"thresholds {thresholds()}")
    with tempfile.TemporaryDirectory(prefix="yunxun-bench-") as temporary:
        work = args.work or Path(temporary)
        for name in args.rows.split(","):
            if name in NEEDS_DATA and not DATA.is_dir():
                line(name, "-", f"left out: {DATA} is not there")
                continue
            ROWS[name](args, work)
    return 0


if __name__ == "__main__":
    sys.exit(main())
