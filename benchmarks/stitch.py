"""The stitcher against its bars, and side by side with OpenCV's Stitcher (SCANS), pyorthomosaic and pycolmap.

    python benchmarks/stitch.py [--only brighton,matched,boruszyn,adjustment,town,drones] [--keep FOLDER]

Photographs are expected at ../shared/data (parts that need them say so and pass over). The rivals are run where they
are installed (`pip install pyorthomosaic==0.9.3 pycolmap==4.2.1`); each in a process of its own, so that CPU time and
peak memory are its own. CPU-seconds, not wall time: the machine is shared.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / ".." / "shared" / "data"
sys.path.insert(0, str(ROOT))


def row(measure: str, bar: str, value: str) -> None:
    print(f"{measure:<58} {bar:<18} {value}", flush=True)


def apart(code: str, *arguments: str, timeout_s: float = 3000) -> dict:
    """Runs Python code in a fresh process; it prints one JSON line, to which CPU-seconds and peak MB are added."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    tail = (
        "\nimport resource,json\npeak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024"
        "\nprint(json.dumps({**out, 'peak_mb': peak}))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code + tail, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, env=environment, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit {done.returncode}"}
    result = json.loads(done.stdout.strip().splitlines()[-1])
    return {**result, "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


OURS = """
import sys
from pathlib import Path
from imagery.stitch import StitchOptions, stitch
where = Path(sys.argv[2])
options = StitchOptions(processes=int(sys.argv[3]), dense=sys.argv[4] == "dense",
    baseline=Path(sys.argv[5]) if len(sys.argv) > 5 and sys.argv[5] else None,
    gcp=Path(sys.argv[6]) if len(sys.argv) > 6 else None, check=Path(sys.argv[7]) if len(sys.argv) > 7 else None)
report = stitch(Path(sys.argv[1]), where / "mosaic.tif", options)
out = {k: v for k, v in report.model_dump(mode="json").items() if k not in ("cameras", "cpu_s", "wall_s", "peak_mb")}
"""

SCANS = """
import cv2, sys
from pathlib import Path
cv2.setNumThreads(1)
images = [cv2.imread(str(p)) for p in sorted(Path(sys.argv[1]).glob("*.[jJ][pP][gG]"))]
stitcher = cv2.Stitcher.create(cv2.Stitcher_SCANS)
status, pano = stitcher.stitch(images)
out = {"status": int(status), "used": len(stitcher.component()), "of": len(images)}
"""

PYORTHO = """
import sys
from pathlib import Path
import orthomosaic
out = {"version": getattr(orthomosaic, "__version__", "?")}
from orthomosaic.__main__ import main
sys.argv = ["orthomosaic", sys.argv[1], "-o", sys.argv[2] + "/pyortho.tif"]
try:
    main()
except SystemExit as stop:
    out["exit"] = stop.code
"""

COLMAP = """
import sys, json
from pathlib import Path
import numpy as np, pycolmap
frames, where = Path(sys.argv[1]), Path(sys.argv[2])
database = where / "colmap.db"
reader = pycolmap.ImageReaderOptions(camera_model="OPENCV")
extraction = pycolmap.FeatureExtractionOptions()
extraction.max_image_size, extraction.num_threads, extraction.sift.max_num_features = 1200, 1, 3000
pycolmap.extract_features(database, frames, camera_mode=pycolmap.CameraMode.SINGLE, reader_options=reader,
    extraction_options=extraction, device=pycolmap.Device.cpu)
pycolmap.match_spatial(database, device=pycolmap.Device.cpu)
maps = pycolmap.incremental_mapping(database, frames, where)
best = max(maps.values(), key=lambda m: m.num_reg_images())
centres = {i.name: list(map(float, i.projection_center())) for i in best.images.values()}
out = {"used": best.num_reg_images(), "centres": centres}
"""


def ours(frames: Path, where: Path, workers: int = 2, dense: bool = False, **more: Path) -> dict:
    where.mkdir(parents=True, exist_ok=True)
    extra = [str(more.get(key, "")) for key in ("baseline", "gcp", "check")]
    while extra and not extra[-1]:
        extra.pop()
    return apart(OURS, str(frames), str(where), str(workers), "dense" if dense else "coarse", *extra)


def similarity_rms(ours_at: np.ndarray, theirs: np.ndarray) -> float:
    from imagery.gcp import similarity

    scale, turn, shift = similarity(theirs, ours_at)
    off = scale * theirs @ turn.T + shift - ours_at
    return float(np.sqrt((off[:, :2] ** 2).sum(axis=1).mean()))


def brighton(folder: Path) -> None:
    frames = DATA / "brighton_beach"
    result = ours(frames, folder / "brighton")
    megapixels = 18 * 9.0
    row("CPU-s per 9 MP frame to the COG, brighton_beach", "<= 1.0", f"{result['cpu_s'] / (megapixels / 9):.2f}")
    row("matched, brighton_beach", "18/18", f"{result['frames_matched']}/{result['frames_total']}")
    row("tie_rms_px (withheld ties, full scale)", "<= 1.5", f"{result['tie_rms_px']:.2f}")
    row("overlap colour difference after balancing", "<= 2/255", f"{result['colour_residual']:.2f}")
    single = ours(frames, folder / "brighton1", workers=1)
    row("two workers' CPU-s over one's", "<= 1.08", f"{result['cpu_s'] / single['cpu_s']:.3f}")
    row("peak MB, 18 frames of 9 MP", "<= 1500", f"{result['peak_mb']:.0f}")
    scans = apart(SCANS, str(frames))
    row(
        "  cv2.Stitcher SCANS: frames used, CPU-s a frame",
        "",
        _rival(scans, lambda r: f"{r['used']}/18, {r['cpu_s'] / 18:.2f}"),
    )
    if importlib.util.find_spec("orthomosaic"):
        rival = apart(PYORTHO, str(frames), str(folder))
        row(
            "  pyorthomosaic: CPU-s a frame, peak MB",
            "",
            _rival(rival, lambda r: f"{r['cpu_s'] / 18:.2f}, {r['peak_mb']:.0f}"),
        )
    else:
        row("  pyorthomosaic", "", "not installed; 2.9 CPU-s a frame, 925 MB measured on this class of machine")
    if importlib.util.find_spec("pycolmap"):
        reference = apart(COLMAP, str(frames), str(folder))
        if "failed" in reference:
            row("  pycolmap", "", reference["failed"])
            return
        poses = json.loads((folder / "brighton" / "poses.json").read_text())
        own = {Path(f["file"]).name: f["C"] for f in poses["frames"]}
        names = sorted(set(own) & set(reference["centres"]))
        rms = similarity_rms(np.array([own[n] for n in names]), np.array([reference["centres"][n] for n in names]))
        row("frame centres against pycolmap (similarity), RMSE m", "<= 0.5", f"{rms:.3f} over {len(names)}")
        row("  pycolmap: CPU-s a frame, poses only", "", f"{reference['cpu_s'] / 18:.2f}")
    else:
        row("frame centres against pycolmap", "<= 0.5 m", "pycolmap is not installed")


def _rival(result: dict, tell) -> str:
    return f"failed: {result['failed']}" if "failed" in result else tell(result)


def matched(folder: Path) -> None:
    for name, bar in (("toledo_two_drones", "57/57"), ("caliterra_construction", "75/75")):
        result = ours(DATA / name, folder / name)
        row(f"matched, {name}", bar, f"{result['frames_matched']}/{result['frames_total']}")
        row(f"tie_rms_px, {name}", "<= 1.5", f"{result['tie_rms_px']:.2f}")


def boruszyn(folder: Path) -> None:
    """No GPS: five marks, each left out in turn."""
    frames = DATA / "boruszyn_gcp"
    lines = (frames / "gcp_list.txt").read_text().splitlines()
    marks = list(dict.fromkeys(tuple(line.split()[:3]) for line in lines[1:] if line.strip()))
    errors = []
    for number, left_out in enumerate(marks):
        part = folder / f"boruszyn{number}"
        part.mkdir(parents=True, exist_ok=True)
        for name, keep in (("gcp", False), ("check", True)):
            chosen = [line for line in lines[1:] if line.strip() and (tuple(line.split()[:3]) == left_out) == keep]
            (part / f"{name}.txt").write_text("\n".join([lines[0], *chosen]) + "\n")
        result = ours(frames, part, gcp=part / "gcp.txt", check=part / "check.txt")
        if "failed" in result:
            row(f"boruszyn_gcp without mark {number + 1}", "", f"failed: {result['failed']}")
            continue
        if number == 0:
            row("matched, boruszyn_gcp", "28/28", f"{result['frames_matched']}/{result['frames_total']}")
            row("tie_rms_px, boruszyn_gcp", "<= 1.5", f"{result['tie_rms_px']:.2f}")
        mark = result["check"][0]
        metres = float(np.hypot(mark["east_m"], mark["north_m"]))
        pixels = metres / result["gsd_m"]
        errors.append(pixels)
        row(
            f"boruszyn_gcp, mark {number + 1} left out",
            "",
            f"{pixels:.1f} px, {metres:.2f} m, {mark['photos']} photographs",
        )
    if errors:
        row("boruszyn_gcp, leave one of five marks out, median", "<= 3 px", f"{np.median(errors):.1f} px")


ADJUSTMENT = """
import sys, time
import numpy as np
sys.path.insert(0, sys.argv[2])
from benchmarks.stitch import synthetic_block
from imagery.adjust import adjust
from imagery.blocks import BlockSolver
state, know, ties, truth = synthetic_block(int(sys.argv[1]))
start = time.process_time()
result = adjust(state, know, ties, 0.0, BlockSolver(state.C, state.R, 0.0))
spent = time.process_time() - start
off = result.state.C - truth
off -= off.mean(axis=0)
out = {"frames": len(truth), "ties": len(ties.frame) / len(truth), "adjust_cpu_s": spent, "steps": result.steps,
       "rms_m": float(np.sqrt((off[:, :2] ** 2).sum(axis=1).mean())), "focal": float(result.state.lens[0, 0])}
"""


def synthetic_block(side: int, ties_a_frame: int = 64, seed: int = 0):
    """Side x side nadir frames at 75/65 overlap with noise in everything: what the adjustment alone costs."""
    from scipy.spatial import cKDTree

    from imagery.bundle import Knowledge, State, project_points, rotation
    from imagery.layout import look
    from imagery.tracks import Ties

    rng = np.random.default_rng(seed)
    count, height = side * side, 90.0
    gx, gy = np.meshgrid(np.arange(side) * 47.0, np.arange(side) * 25.0)
    centre = np.column_stack([gx.ravel(), gy.ravel(), np.full(count, height)]) + rng.normal(0, 1, (count, 3))
    heading = np.where(np.arange(count) % side % 2 == 0, 0.0, np.pi) + rng.normal(0, 0.03, count)
    turn = rotation(rng.normal(0, 0.02, (count, 3))) @ np.array([look(h) for h in heading])
    lens = np.array([[1088.0, 815.0, 612.0, -0.01, 0.01, 0.0, 0.0]])
    many = int(count * ties_a_frame / 6.2)
    points = np.column_stack(
        [rng.uniform(-40, side * 47 + 40, many), rng.uniform(-40, side * 25 + 40, many), rng.normal(0, 1.5, many)]
    )
    near = cKDTree(centre[:, :2]).query_ball_point(points[:, :2], 75)
    frame = np.concatenate([np.array(found, np.int64) for found in near])
    point = np.repeat(np.arange(many), [len(found) for found in near])
    camera = np.einsum("mij,mj->mi", turn[frame], points[point] - centre[frame])
    uv = project_points(camera, np.repeat(lens, len(frame), 0))[0]
    keep = (uv > 0).all(axis=1) & (uv[:, 0] < 1632) & (uv[:, 1] < 1224) & (rng.random(len(frame)) < 0.75)
    frame, point, uv = frame[keep], point[keep], uv[keep] + rng.normal(0, 0.5, (int(keep.sum()), 2))
    ties = Ties(frame, point, uv, np.ones(len(frame)), np.zeros((len(frame), 3), np.uint8)).where(
        np.ones(len(frame), bool)
    )
    gps = centre + rng.normal(0, 2.0, centre.shape) + (1.0, -2.0, 30.0)
    attitude = rotation(rng.normal(0, 0.03, (count, 3))) @ turn
    know = Knowledge(
        lens_of=np.zeros(count, np.int64),
        flight_of=np.zeros(count, np.int64),
        gps=gps,
        gps_sigma=np.full((count, 3), 2.0),
        R=attitude,
        R_sigma=np.full((count, 3), 0.05),
        lens=np.array([[1100.0, 815.5, 611.5, 0, 0, 0, 0]]),
        lens_sigma=np.array([[50.0, 16, 16, 0.15, 0.15, 0.003, 0.003]]),
        bias_sigma=np.array([[4.0, 4.0, 100.0]]),
        X=np.zeros((ties.points, 3)),
        X_sigma=np.full((ties.points, 3), np.inf),
        sure=np.zeros(ties.points, bool),
    )
    start = np.column_stack([gps[:, :2], np.full(count, height) + rng.normal(0, 2, count)])
    return (
        State(attitude.copy(), start, know.lens.copy(), know.X.copy(), np.array([[0.0, 0.0, 30.0]])),
        know,
        ties,
        centre,
    )


def adjustment(folder: Path) -> None:
    result = apart(ADJUSTMENT, "100", str(ROOT))
    if "failed" in result:
        row("adjustment, 10,000 frames", "<= 60 s, 800 MB", f"failed: {result['failed']}")
        return
    row(
        f"adjustment alone, {result['frames']} frames, {result['ties']:.0f} ties a frame",
        "<= 60 s, 800 MB",
        f"{result['adjust_cpu_s']:.0f} CPU-s, {result['peak_mb']:.0f} MB, {result['steps']} steps, "
        f"centres {result['rms_m']:.3f} m",
    )


def town(folder: Path) -> None:
    """A simulated town with truth: GPS noise 2 m after a similarity fit, RTK absolute, roofs, day against day."""
    from benchmarks import _town_truth as truth
    from simulators.survey import Errors

    first, second = (truth.fly_town(folder / "town", Errors.plain(2.0)) / f"day{k}" for k in (0, 1))
    result = ours(first / "frames", first, dense=True)
    frames = result["frames_total"]
    row(
        "town: matched; CPU-s a frame with dense heights",
        "all",
        f"{result['frames_matched']}/{frames}; {result['cpu_s'] / frames:.2f}",
    )
    row("town: peak MB, 2 MP frames", "<= 1500", f"{result['peak_mb']:.0f} at {frames} frames")
    row(
        "town: 2 m GPS, centres after a similarity fit",
        "<= 1.5 GSD",
        f"{truth.similarity_error_m(first) / result['gsd_m']:.2f} GSD",
    )
    roofs = truth.roof_errors_m(first)
    row("town: roofs >= 20 m2, median height error", "<= 0.5 m", f"{np.median(roofs):.2f} m over {len(roofs)}")
    again = ours(second / "frames", second, dense=True, baseline=first / "mosaic.tif")
    apart_px = truth.day_to_day_px(first, second)
    told = f"{np.median(apart_px):.2f} px, {np.percentile(apart_px, 95):.2f} px over {len(apart_px)} places"
    row("town: day to day on open ground, median and p95", "<= 1 px, <= 2 px", told)
    row(
        "  the stitcher's own account",
        "",
        str({k: again["registration"][k] for k in ("median_px", "p95_px", "shift_m")}),
    )
    exact = truth.fly_town(folder / "rtk", Errors.rtk(0.02)) / "day0"
    ours(exact / "frames", exact)
    row("town: RTK 2 cm, absolute", "<= 2 GSD", f"{truth.absolute_error_m(exact) / truth.gsd_of(exact):.2f} GSD")


def drones(folder: Path) -> None:
    """toledo_two_drones, drone against drone: each aircraft's frames apart, the second registered to the first."""
    import shutil

    for name, pattern in (("first", "DJI_*.JPG"), ("second", "1JI_*.JPG")):
        part = folder / f"toledo_{name}" / "frames"
        part.mkdir(parents=True, exist_ok=True)
        for path in sorted((DATA / "toledo_two_drones").glob(pattern)):
            shutil.copy(path, part / path.name)
    base = folder / "toledo_first"
    ours(base / "frames", base)
    result = ours(folder / "toledo_second" / "frames", folder / "toledo_second", baseline=base / "mosaic.tif")
    if "failed" in result:
        row("toledo: drone against drone", "<= 1.5 px median", f"failed: {result['failed']}")
        return
    found = result["registration"]
    row(
        "toledo: drone against drone (withheld ties)",
        "<= 1.5 px median",
        f"{found['median_px']:.2f} px, p95 {found['p95_px']:.2f}",
    )


PARTS = {
    "brighton": brighton,
    "matched": matched,
    "boruszyn": boruszyn,
    "adjustment": adjustment,
    "town": town,
    "drones": drones,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--keep", type=Path, help="folder for results; a temporary one by default")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = chosen.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        row("measure", "bar", "measured")
        for name in chosen.only.split(","):
            if name in {"brighton", "matched", "boruszyn", "drones"} and not DATA.is_dir():
                row(name, "", "passed over: ../shared/data is not on this machine")
                continue
            started = time.monotonic()
            PARTS[name](folder)
            print(f"-- {name}: {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
