"""What `benchmarks/stitch.py` runs in processes of their own, so that CPU time and peak memory are their own."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

_OURS = """
import sys, json
from pathlib import Path
from imagery.stitch import StitchOptions, stitch
where, more = Path(sys.argv[2]), json.loads(sys.argv[3])
for key in ("baseline", "gcp", "check"):
    more[key] = Path(more[key]) if more.get(key) else None
report = stitch(Path(sys.argv[1]), where / "mosaic.tif", StitchOptions(**more))
out = {k: v for k, v in report.model_dump(mode="json").items() if k not in ("cameras", "cpu_s", "wall_s", "peak_mb")}
"""

# Poses alone: what is left at a mark does not need the mosaic, and folds share features, matches and first adjustment.
FOLD = """
import sys
from pathlib import Path
import cv2, numpy as np
from imagery.account import Clock
from imagery.files import quiet
from imagery.gcp import errors_at
from imagery.options import StitchOptions
from imagery.posing import pose
from imagery.work import DescriptorStore
cv2.setNumThreads(1)
work, part = Path(sys.argv[2]), Path(sys.argv[3])
work.mkdir(parents=True, exist_ok=True)
options = StitchOptions(gcp=part / "gcp.txt", check=part / "check.txt")
posed = pose(Path(sys.argv[1]), options, DescriptorStore(work), work, quiet, Clock())
(mark,) = errors_at(posed.solution, posed.checks, posed.index)
state = posed.solution.state
gsd_m = float(np.median(state.C[:, 2] - posed.solution.ground_z) / state.lens[0, 0])
out = {"east_m": mark.east_m, "north_m": mark.north_m, "up_m": mark.up_m, "error_px": mark.error_px,
       "photos": mark.photos, "gsd_m": gsd_m, "pixel_scale": posed.marks.pixel_scale,
       "precision_m": posed.marks.precision_m}
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

PYORTHOMOSAIC = """
import sys
from pathlib import Path
from orthomosaic.__main__ import main
where = Path(sys.argv[2]); where.mkdir(parents=True, exist_ok=True)
sys.argv = ["orthomosaic", sys.argv[1], "-o", str(where / "pyortho.tif")]
out = {}
try:
    main()
except SystemExit as stop:
    out["exit"] = stop.code
made = sorted(p for p in where.iterdir() if p.is_file())
out["wrote"] = [p.name for p in made]
if not any(p.suffix == ".tif" for p in made):
    raise RuntimeError(f"no mosaic was written, exit {out.get('exit')}")
"""

PYCOLMAP = """
import sys, json, time
from pathlib import Path
import numpy as np, pycolmap
frames, where = Path(sys.argv[1]), Path(sys.argv[2])
where.mkdir(parents=True, exist_ok=True)
(where / "colmap.db").unlink(missing_ok=True)
database = where / "colmap.db"
names = sorted(p.name for p in frames.iterdir() if p.suffix.lower() == ".jpg")
reader = pycolmap.ImageReaderOptions(camera_model="OPENCV")
extraction = pycolmap.FeatureExtractionOptions()
extraction.max_image_size, extraction.num_threads, extraction.sift.max_num_features = int(sys.argv[3]), 1, 4000
matching = pycolmap.FeatureMatchingOptions()
matching.num_threads = 1
pycolmap.extract_features(database, frames, image_names=names, camera_mode=pycolmap.CameraMode.SINGLE,
    reader_options=reader, extraction_options=extraction, device=pycolmap.Device.cpu)
match = pycolmap.match_spatial if sys.argv[4] == "spatial" else pycolmap.match_exhaustive
match(database, matching_options=matching, device=pycolmap.Device.cpu)
with pycolmap.Database.open(database) as kept:
    for prior in kept.read_all_pose_priors():
        prior.position_covariance = np.eye(3) * 2.0**2
        kept.update_pose_prior(prior)
def mapped(**settings):
    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads = 1
    for name, value in settings.items():
        setattr(options, name, value)
    maps = pycolmap.incremental_mapping(database, frames, where, options)
    best = max(maps.values(), key=lambda m: m.num_reg_images())
    centres = {i.name: list(map(float, i.projection_center())) for i in best.images.values()}
    focal_px = float(next(iter(best.cameras.values())).params[0])
    return {"used": best.num_reg_images(), "centres": centres, "focal_px": focal_px}
held = {"use_prior_position": True, "use_robust_loss_on_prior_position": True}
began = time.process_time()
out = {"free": mapped(), "file": mapped(**held, ba_refine_focal_length=False)}
out["spare_cpu_s"] = time.process_time() - began
out.update(mapped(**held))
"""

# COLMAP's shape of the same photographs, free of all marks: each mark is where its photographs' rays cross.
PYCOLMAP_MARKS = """
import json, sys
from pathlib import Path
import numpy as np, pycolmap
frames, where, sights = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
where.mkdir(parents=True, exist_ok=True)
(where / "colmap.db").unlink(missing_ok=True)
database = where / "colmap.db"
names = sorted(p.name for p in frames.iterdir() if p.suffix.lower() == ".jpg")
extraction, matching = pycolmap.FeatureExtractionOptions(), pycolmap.FeatureMatchingOptions()
extraction.num_threads = matching.num_threads = 1
extraction.sift.max_num_features = 4000
pycolmap.extract_features(database, frames, image_names=names, camera_mode=pycolmap.CameraMode.SINGLE,
    reader_options=pycolmap.ImageReaderOptions(camera_model="OPENCV"), extraction_options=extraction,
    device=pycolmap.Device.cpu)
pycolmap.match_exhaustive(database, matching_options=matching, device=pycolmap.Device.cpu)
options = pycolmap.IncrementalPipelineOptions()
options.num_threads = 1
best = max(pycolmap.incremental_mapping(database, frames, where, options).values(), key=lambda m: m.num_reg_images())
seen = {image.name: image for image in best.images.values() if image.has_pose}
places = []
for mark in sights:
    normal, right, count = np.zeros((3, 3)), np.zeros(3), 0
    for name, x, y in mark:
        if name in seen:
            image = seen[name]
            level = image.camera.cam_from_img(np.array([[x, y]]))[0]
            turn = image.cam_from_world().rotation.matrix()
            ray = turn.T @ np.append(level, 1.0)
            across = np.eye(3) - np.outer(ray, ray) / (ray @ ray)
            normal, right, count = normal + across, right + across @ image.projection_center(), count + 1
    places.append(np.linalg.solve(normal, right).tolist() if count > 1 else None)
out = {"places": places, "used": len(seen)}
"""

# Made in a process of its own: what is measured is the adjustment's memory.
SYNTHETIC_BLOCK = """
import pickle, sys
from pathlib import Path
from benchmarks._stitch_block import synthetic_block
block = synthetic_block(int(sys.argv[1]))
Path(sys.argv[2]).write_bytes(pickle.dumps(block, protocol=5))
out = {"frames": len(block[3])}
"""

ADJUSTMENT = """
import pickle, sys, time
import numpy as np
from imagery.adjust import adjust
with open(sys.argv[1], "rb") as file:
    state, know, ties, truth = pickle.load(file)
start = time.process_time()
result = adjust(state, know, ties, 0.0)
spent = time.process_time() - start
off = result.state.C - truth
off -= off.mean(axis=0)
out = {"frames": len(truth), "ties": len(ties.frame) / len(truth), "adjust_cpu_s": spent, "steps": result.steps,
       "rms_m": float(np.sqrt((off[:, :2] ** 2).sum(axis=1).mean())), "focal": float(result.state.lens[0, 0])}
"""


def apart(code: str, *arguments: str, timeout_s: float = 2 * 3600) -> dict[str, Any]:
    """Runs Python code that leaves a dict `out`; CPU-seconds and peak MB are added, or `failed` says how it ended."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    tail = (
        "\nimport resource,json\npeak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024"
        "\nprint('\\n' + json.dumps({**out, 'peak_mb': peak}))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code + tail, *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, env=environment, check=False, cwd=ROOT
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"did not end within {timeout_s / 60:.0f} minutes"}
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        said = [line for line in done.stderr.strip().splitlines() if line.strip()]
        return {"failed": said[-1][:160] if said else f"exit {done.returncode}"}
    result = json.loads(done.stdout.strip().splitlines()[-1])
    return {**result, "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def ours(frames: Path, where: Path, *, workers: int = 2, dense: bool = False, **more: Path) -> dict[str, Any]:
    """Our stitcher on a folder of photographs."""
    where.mkdir(parents=True, exist_ok=True)
    options = {"processes": workers, "dense": dense, **{key: str(path) for key, path in more.items()}}
    return apart(_OURS, str(frames), str(where), json.dumps(options), timeout_s=6 * 3600)
