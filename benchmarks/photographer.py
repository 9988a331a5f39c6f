"""Frames a second and core: a town at 2 and 12 MP, painting included and apart. Bar: 2 frames/s/core at 12 MP.

Run: .venv/bin/python benchmarks/photographer.py [--frames N]
CPU seconds of one process, so that a loaded machine tells (nearly) the same as a quiet one.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import cv2

from missions.camera import Camera
from simulators.frame import Darkroom, Optics
from simulators.ground import town_ground
from simulators.photographer import GROUND_SHARE, develop
from simulators.survey import survey
from simulators.town import build_town

CAMERAS = {
    "2 MP": Camera(model="FC6310R", width_px=1632, height_px=1224, focal_mm=8.8, sensor_width_mm=13.2),
    "12 MP": Camera(model="FC6310R", width_px=4000, height_px=3000, focal_mm=8.8, sensor_width_mm=13.2),
}
GSD_M = {"2 MP": 0.08, "12 MP": 0.04}


def measure(name: str, frames: int, folder: Path) -> dict[str, float]:
    camera, gsd_m = CAMERAS[name], GSD_M[name]
    day = build_town(7, size_m=(240.0, 240.0)).day(0)
    start = time.process_time()
    ground = town_ground(day, round(gsd_m * GROUND_SHARE, 3), folder / name)
    paint_s = time.process_time() - start
    shots = survey(day.town, camera, gsd_m=gsd_m, front_overlap=0.5, side_overlap=0.4)[:frames]
    room = Darkroom(ground, camera, Optics.like_dji(), 0)
    develop(room, shots[0], folder / "warm.jpg", 92)
    start = time.process_time()
    for shot in shots:
        develop(room, shot, folder / shot.file, 92)
    each_s = (time.process_time() - start) / len(shots)
    rows, cols = ground.dsm.shape
    return {
        "frames": len(shots), "cpu_s_per_frame": round(each_s, 4), "frames_per_s_core": round(1 / each_s, 2),
        "paint_cpu_s": round(paint_s, 2), "paint_us_per_px": round(paint_s * 1e6 / rows / cols, 3),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=12)
    frames = parser.parse_args().frames
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        result = {size: measure(size, frames, Path(name)) for size in CAMERAS}
    print(json.dumps(result, indent=1))
    reached = result["12 MP"]["frames_per_s_core"] >= 2
    print(f"12 MP: {result['12 MP']['frames_per_s_core']} frames/s/core, bar 2: {'reached' if reached else 'missed'}")


if __name__ == "__main__":
    main()
