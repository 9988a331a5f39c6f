"""The stitcher against its bars, and side by side with OpenCV's Stitcher (SCANS), pyorthomosaic and pycolmap.

    python benchmarks/stitch.py [ROW ...] [--keep FOLDER] [--results FILE]

Every row can be run alone; `--results` gathers them in one Markdown table over several runs (a row that is run again
replaces itself). Photographs are expected at ../shared/data (rows that need them say so and pass over). The peers are
run where they are installed (`pip install pyorthomosaic==0.9.3 pycolmap==4.2.1`); each in a process of its own, so
that CPU time and peak memory are its own. CPU-seconds, not wall time: the machine may be shared.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks._stitch_runs import (  # noqa: E402
    ADJUSTMENT,
    FOLD,
    PYCOLMAP,
    PYCOLMAP_MARKS,
    PYORTHOMOSAIC,
    SCANS,
    SYNTHETIC_BLOCK,
    apart,
    ours,
)

DATA = ROOT / ".." / "shared" / "data"
BRIGHTON_FRAMES = 18
ADJUSTMENT_SIDE = 100
Told = list[tuple[str, str, str]]


def brighton(folder: Path) -> Told:
    """CPU, memory, matches, ties and colour of the 9 MP set; two workers against one."""
    frames, n = DATA / "brighton_beach", BRIGHTON_FRAMES
    two, one = ours(frames, folder / "brighton"), ours(frames, folder / "brighton1", workers=1)
    if "failed" in two or "failed" in one:
        return [("brighton_beach", "", _failed(two) or _failed(one))]
    return [
        ("CPU-s per 9 MP frame to the COG, brighton_beach", "<= 1.0", f"{two['cpu_s'] / n:.2f}"),
        ("matched, brighton_beach", "18/18", _matched(two)),
        ("tie_rms_px, brighton_beach (withheld ties, full scale)", "<= 1.5", f"{two['tie_rms_px']:.2f}"),
        *_colours("brighton_beach", two),
        ("two workers' CPU-s over one's", "<= 1.08", f"{two['cpu_s'] / one['cpu_s']:.3f}"),
        ("peak MB, 18 frames of 9 MP", "<= 1500", f"{two['peak_mb']:.0f}"),
        ("preview, brighton_beach: seconds", "seconds", _preview(two)),
    ]


def scans(folder: Path) -> Told:
    """OpenCV's Stitcher on the same photographs."""
    return _peer("cv2.Stitcher SCANS", apart(SCANS, str(DATA / "brighton_beach")))


def pyorthomosaic(folder: Path) -> Told:
    """Its mosaic of the same photographs."""
    if not importlib.util.find_spec("orthomosaic"):
        return [("  pyorthomosaic", "", "not installed; 2.9 CPU-s a frame, 925 MB measured on this class of machine")]
    return _peer("pyorthomosaic 0.9.3", apart(PYORTHOMOSAIC, str(DATA / "brighton_beach"), str(folder / "pyortho")))


def pycolmap(folder: Path) -> Told:
    """Frame centres against COLMAP's, on the same photographs, after a similarity fit.

    Left to itself its lens runs away over this level beach (focal length 30 % long, the block bowed by a metre), so its
    adjustment is given the same positions that ours has, to 2 m.
    """
    if not importlib.util.find_spec("pycolmap"):
        return [("frame centres against pycolmap, RMSE", "<= 0.5 m", "pycolmap is not installed")]
    poses = folder / "brighton" / "poses.json"
    if not poses.is_file():
        ours(DATA / "brighton_beach", folder / "brighton")
    told: Told = []
    for size_px, bar in ((2000, "<= 0.5 m"), (1200, "")):
        found = apart(PYCOLMAP, str(DATA / "brighton_beach"), str(folder / f"colmap{size_px}"), str(size_px), "spatial")
        if "failed" in found:
            told.append((f"  pycolmap at {size_px} px", "", _failed(found)))
            continue
        own_px = next(iter(json.loads(poses.read_text())["lenses"].values()))["fx"]
        for which, one, its_bar in (
            ("GPS in its adjustment", found, bar),
            ("GPS, its focal length held at the file's", found["file"], ""),
            ("no GPS in it", found["free"], ""),
        ):
            rms, count = _centres_apart(poses, one["centres"])
            text = f"{rms:.3f} m over {count}; its focal length {one['focal_px']:.0f} px, ours {own_px:.0f}"
            told.append((f"frame centres against pycolmap at {size_px} px, {which}, RMSE", its_bar, text))
        spent = (found["cpu_s"] - found["spare_cpu_s"]) / BRIGHTON_FRAMES
        told.append((f"  pycolmap at {size_px} px: CPU-s a frame, poses only", "", f"{spent:.2f}"))
    return told


def _centres_apart(poses: Path, centres: dict[str, list[float]]) -> tuple[float, int]:
    from imagery.similarity import similarity

    own = {Path(f["file"]).name: f["C"] for f in json.loads(poses.read_text())["frames"]}
    names = sorted(set(own) & set(centres))
    mine, theirs = np.array([own[n] for n in names]), np.array([centres[n] for n in names])
    scale, turn, shift = similarity(theirs, mine)
    off = scale * theirs @ turn.T + shift - mine
    return float(np.sqrt((off[:, :2] ** 2).sum(axis=1).mean())), len(names)


def _peer(name: str, result: dict[str, Any]) -> Told:
    if "failed" in result:
        return [(f"  {name}, brighton_beach", "", _failed(result))]
    used = f"{result['used']}/{BRIGHTON_FRAMES} frames used, " if "used" in result else ""
    cost = f"{result['cpu_s'] / BRIGHTON_FRAMES:.2f} CPU-s a frame, {result['peak_mb']:.0f} MB"
    return [(f"  {name}, brighton_beach", "", used + cost)]


def _colours(name: str, result: dict[str, Any]) -> Told:
    """The difference over whole overlaps (the bar's words), and the stricter one at withheld ties."""
    over = f"{result['colour_overlap']:.2f}, p95 {result['colour_overlap_p95']:.2f}"
    ties = f"{result['colour_residual']:.2f}, of it as a whole (RMS) {result['colour_smooth']}"
    return [
        (f"overlap colour difference after balancing, {name}", "<= 2/255", over),
        (f"  the same patch by patch at withheld ties, {name}", "", ties),
    ]


def _failed(result: dict[str, Any]) -> str:
    return f"failed: {result['failed']}" if "failed" in result else ""


def _preview(result: dict[str, Any]) -> str:
    stage = result.get("stages", {}).get("preview", {})
    return f"{stage['wall_s']:.1f} s, {stage['cpu_s']:.1f} CPU-s" if stage else "not told"


def _matched(result: dict[str, Any]) -> str:
    return f"{result['frames_matched']}/{result['frames_total']}"


def _set(name: str, bar: str) -> Callable[[Path], Told]:
    def run(folder: Path) -> Told:
        result = ours(DATA / name, folder / name)
        if "failed" in result:
            return [(f"matched, {name}", bar, _failed(result))]
        return [
            (f"matched, {name}", bar, _matched(result)),
            (f"tie_rms_px, {name}", "<= 1.5", f"{result['tie_rms_px']:.2f}"),
            *_colours(name, result),
        ]

    return run


def boruszyn(folder: Path) -> Told:
    """No GPS: five marks, each left out in turn (poses alone; the whole set's own row is `boruszyn_set`)."""
    frames = DATA / "boruszyn_gcp"
    lines = [line for line in (frames / "gcp_list.txt").read_text().splitlines() if line.strip()]
    marks = list(dict.fromkeys(tuple(line.split()[:3]) for line in lines[1:]))
    told: Told = []
    errors: list[float] = []
    scale = gsd_m = 1.0
    for number, left_out in enumerate(marks):
        part = folder / f"boruszyn{number}"
        part.mkdir(parents=True, exist_ok=True)
        for name, keep in (("gcp", False), ("check", True)):
            chosen = [line for line in lines[1:] if (tuple(line.split()[:3]) == left_out) == keep]
            (part / f"{name}.txt").write_text("\n".join([lines[0], *chosen]) + "\n")
        found = apart(FOLD, str(frames), str(folder / "boruszyn_work"), str(part))
        if "failed" in found:
            told.append((f"boruszyn_gcp without mark {number + 1}", "", _failed(found)))
            continue
        scale, gsd_m = found["pixel_scale"], found["gsd_m"]
        errors.append(float(np.hypot(found["east_m"], found["north_m"])) / gsd_m)
        text = f"{errors[-1]:.1f} px on the ground: east {found['east_m']:+.2f}, north {found['north_m']:+.2f} m"
        told.append((f"boruszyn_gcp, mark {number + 1} left out", "", f"{text}; {found['photos']} photographs"))
    if errors:
        told.append(("boruszyn_gcp, leave one of five marks out, median", "<= 3 px", f"{np.median(errors):.1f} px"))
    return told + _marks_by_colmap(folder, frames, lines[1:], marks, scale, gsd_m)


def _marks_by_colmap(
    folder: Path, frames: Path, lines: list[str], marks: list[tuple[str, ...]], scale: float, gsd_m: float
) -> Told:
    """The same folds over COLMAP's shape, which has seen no mark: what is left is the marks' own."""
    from imagery.similarity import similarity

    if not importlib.util.find_spec("pycolmap"):
        return [("  pycolmap, the same folds", "", "pycolmap is not installed")]
    split = [line.split() for line in lines]
    sights = [[(s[5], float(s[3]) * scale, float(s[4]) * scale) for s in split if tuple(s[:3]) == m] for m in marks]
    found = apart(PYCOLMAP_MARKS, str(frames), str(folder / "boruszyn_colmap"), json.dumps(sights))
    if "failed" in found:
        return [("  pycolmap, the same folds", "", _failed(found))]
    known = [number for number, place in enumerate(found["places"]) if place is not None]
    shape = np.array([found["places"][number] for number in known])
    given = np.array([[float(value) for value in marks[number]] for number in known])

    def off(train: np.ndarray) -> np.ndarray:
        size, turn, shift = similarity(shape[train], given[train])
        return np.hypot(*(size * shape @ turn.T + shift - given)[:, :2].T) / gsd_m

    everyone = np.arange(len(known))
    whole = off(everyone)
    folds = [float(off(everyone[everyone != left])[left]) for left in everyone]
    names = f"marks {', '.join(str(n + 1) for n in known)} (two photographs each), {found['used']}/28 frames"
    return [
        ("  pycolmap, all marks in its fit", "", f"{np.sqrt((whole**2).mean()):.1f} px RMS left at {names}"),
        ("  pycolmap, leave one out, each and median", "", f"{np.round(folds, 1)}, {np.median(folds):.1f} px"),
    ]


def adjustment(folder: Path) -> Told:
    """The adjustment alone at 10,000 frames."""
    block = folder / "synthetic.pkl"
    made = apart(SYNTHETIC_BLOCK, str(ADJUSTMENT_SIDE), str(block))
    found = made if "failed" in made else apart(ADJUSTMENT, str(block))
    if "failed" in found:
        return [("adjustment, 10,000 frames", "<= 60 s, 800 MB", _failed(found))]
    text = f"{found['adjust_cpu_s']:.0f} CPU-s, {found['peak_mb']:.0f} MB, {found['steps']} steps"
    what = f"adjustment alone, {found['frames']} frames, {found['ties']:.0f} ties a frame"
    return [(what, "<= 60 s, 800 MB", f"{text}, centres {found['rms_m']:.3f} m")]


def _block(frames: int) -> Callable[[Path], Told]:
    def run(folder: Path) -> Told:
        from benchmarks._stitch_block import fly_over_orthophoto

        ortho = DATA / "ortho" / "5b90f92da0d7280005fab355_4310.tif"
        photos = fly_over_orthophoto(folder / f"block{frames}" / "frames", ortho, frames)
        result = ours(photos, folder / f"block{frames}")
        if "failed" in result:
            return [(f"block of {frames} frames of 2 MP", "<= 1500 MB", _failed(result))]
        text = f"{result['peak_mb']:.0f} MB, {_matched(result)}, {result['cpu_s'] / frames:.2f} CPU-s a frame"
        return [(f"peak memory, block of {frames} frames of 2 MP", "<= 1500 MB", text)]

    return run


def town(folder: Path) -> Told:
    """A simulated town with truth: GPS noise 2 m after a similarity fit, roofs, day against day."""
    from benchmarks import _town_truth as truth
    from simulators.survey import Errors

    first, second = (truth.fly_town(folder / "town", Errors.plain(2.0)) / f"day{k}" for k in (0, 1))
    result = ours(first / "frames", first, dense=True)
    frames, gsd_m = result["frames_total"], result["gsd_m"]
    roofs = truth.roof_errors_m(first)
    again = ours(second / "frames", second, dense=True, baseline=first / "mosaic.tif")
    px = truth.day_to_day_px(first, second)
    fit = f"{truth.similarity_error_m(first) / gsd_m:.2f} GSD"
    days = f"{np.median(px):.2f} px, {np.percentile(px, 95):.2f} px over {len(px)} places"
    own = {key: again["registration"][key] for key in ("median_px", "p95_px", "shift_m")}
    return [
        ("town: matched; CPU-s a 2 MP frame, dense", "all", f"{_matched(result)}; {result['cpu_s'] / frames:.2f}"),
        ("town: peak MB, 2 MP frames", "<= 1500", f"{result['peak_mb']:.0f} at {frames} frames"),
        *_colours("town", result),
        ("town: 2 m GPS, centres after a similarity fit", "<= 1.5 GSD", fit),
        ("town: roofs >= 20 m2, median height error", "<= 0.5 m", f"{np.median(roofs):.2f} m over {len(roofs)}"),
        ("town: day to day on open ground, median and p95", "<= 1 px, <= 2 px", days),
        ("  the stitcher's own account", "", str(own)),
    ]  # fmt: skip


def rtk(folder: Path) -> Told:
    """The same town by a receiver of 2 cm: absolute."""
    from benchmarks import _town_truth as truth
    from simulators.survey import Errors

    exact = truth.fly_town(folder / "rtk", Errors.rtk(0.02)) / "day0"
    result = ours(exact / "frames", exact)
    if "failed" in result:
        return [("town: RTK 2 cm, absolute", "<= 2 GSD", _failed(result))]
    return [("town: RTK 2 cm, absolute", "<= 2 GSD", f"{truth.absolute_error_m(exact) / result['gsd_m']:.2f} GSD")]


def drones(folder: Path) -> Told:
    """toledo_two_drones, drone against drone: each aircraft's frames apart, the second registered to the first."""
    for name, pattern in (("first", "DJI_*.JPG"), ("second", "1JI_*.JPG")):
        part = folder / f"toledo_{name}" / "frames"
        part.mkdir(parents=True, exist_ok=True)
        for path in sorted((DATA / "toledo_two_drones").glob(pattern)):
            shutil.copy(path, part / path.name)
    base = folder / "toledo_first"
    ours(base / "frames", base)
    result = ours(folder / "toledo_second" / "frames", folder / "toledo_second", baseline=base / "mosaic.tif")
    if "failed" in result:
        return [("toledo: drone against drone", "<= 1.5 px median", _failed(result))]
    found = result["registration"]
    text = f"{found['median_px']:.2f} px, p95 {found['p95_px']:.2f}"
    return [("toledo: drone against drone (withheld ties)", "<= 1.5 px median", text)]


ROWS: dict[str, Callable[[Path], Told]] = {
    "brighton": brighton,
    "scans": scans,
    "pyorthomosaic": pyorthomosaic,
    "pycolmap": pycolmap,
    "toledo": _set("toledo_two_drones", "57/57"),
    "caliterra": _set("caliterra_construction", "75/75"),
    "boruszyn": boruszyn,
    "boruszyn_set": _set("boruszyn_gcp", "28/28"),
    "drones": drones,
    "adjustment": adjustment,
    "block200": _block(200),
    "block2000": _block(2000),
    "town": town,
    "rtk": rtk,
}
NEEDS_NO_DATA = {"adjustment", "town", "rtk"}


def gather(path: Path, told: Told) -> None:
    """Puts lines into a Markdown table; a measure that is there already is replaced."""
    head = ["| measure | bar | measured |", "|---|---|---|"]
    rows = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines()[2:]:
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
            rows[cells[0]] = line
    for measure, bar, value in told:
        measure, bar, value = (text.strip().replace("|", "/") for text in (measure, bar, value))
        rows[measure] = f"| {measure} | {bar} | {value} |"
    path.write_text("\n".join([*head, *rows.values()]) + "\n", encoding="utf-8")


def main() -> None:
    """Runs the rows asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}; all by default")
    parser.add_argument("--keep", type=Path, help="folder for results; a temporary one by default")
    parser.add_argument("--results", type=Path, help="a Markdown table that rows are gathered in")
    chosen = parser.parse_args()
    unknown = set(chosen.rows) - set(ROWS)
    if unknown:
        parser.error(f"no row {', '.join(sorted(unknown))}: expected some of {', '.join(ROWS)}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = chosen.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for name in chosen.rows or ROWS:
            if name not in NEEDS_NO_DATA and not DATA.is_dir():
                print(f"{name}: passed over, ../shared/data is not on this machine", flush=True)
                continue
            started = time.monotonic()
            told = ROWS[name](folder)
            for measure, bar, value in told:
                print(f"{measure:<62} {bar:<18} {value}", flush=True)
            print(f"-- {name}: {time.monotonic() - started:.0f} s", flush=True)
            if chosen.results:
                gather(chosen.results, told)


if __name__ == "__main__":
    main()
