"""How much of what must not be recognised is hidden: the two detectors of close photographs, and the rule of the rest.

    python benchmarks/privacy.py [--plates 300] [--faces 100] [--seed 7]

Faces: 100 faces of the LFW subset that scikit-image ships (25 x 25 pixels, real people, frontal by and large), enlarged
and laid into real surroundings; and one portrait (matplotlib's sample) leaning by degrees. Plates: drawn by the GA 36
layout (blue, green, yellow, white), seen at an angle, blurred, noised, JPEG, laid into the same surroundings. These are
NOT photographs of Chinese streets: no such data with a licence was to be had; the plates' judge was trained on plates
of the same drawing, in other surroundings. A face or plate counts as hidden when 70 % of it lies in boxes.
Surroundings: toledo_two_drones (which trained nothing), else scikit-image's pictures.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import skimage
from PIL import Image, ImageDraw, ImageFont

from api.tiles import detectors

SHARED = Path(__file__).parents[2] / "shared" / "data"
SKIMAGE = Path(skimage.__file__).parent / "data"
PROVINCES, LETTERS, SIGNS = "鲁京津冀豫苏皖浙", "ABCDEFGHJKLMNPQRSTUVWXYZ", "ABCDEFGHJKLMNPQRSTUVWXYZ0123456789"
COLOURS: dict[str, tuple[tuple[int, int, int], int]] = {
    "blue": ((30, 70, 170), 255),
    "green": ((120, 200, 140), 20),
    "yellow": ((235, 180, 30), 20),
    "white": ((235, 235, 235), 20),
}
HIDDEN_SHARE = 0.7


def surroundings(rng: np.random.Generator, side: int = 640, folder: str = "toledo_two_drones") -> np.ndarray:
    """A piece of a real photograph with neither faces nor plates in it."""
    paths = sorted((SHARED / folder).rglob("*.[jJ]*"))[:20]
    paths = paths or [SKIMAGE / name for name in ("coffee.png", "chelsea.png", "brick.png", "grass.png", "gravel.png")]
    image = Image.open(paths[rng.integers(len(paths))]).convert("RGB")
    scale = max(side / min(image.size), 1.0)
    image = image.resize((int(image.width * scale) + 1, int(image.height * scale) + 1))
    x, y = rng.integers(image.width - side + 1), rng.integers(image.height - side + 1)
    return np.array(image.crop((x, y, x + side, y + side)))


def plate(rng: np.random.Generator, colour: str) -> np.ndarray:
    """A plate at 440 x 140 (green 480 x 140) pixels."""
    (ground, ink), width = COLOURS[colour], 480 if colour == "green" else 440
    image = Image.new("RGB", (width, 140), ground)
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((4, 4, width - 5, 135), 10, outline=(ink,) * 3, width=3)
    font = ImageFont.truetype("/usr/share/fonts/opentype/noto/NotoSansCJK-Bold.ttc", 92)
    n = 8 if colour == "green" else 7
    text = (
        PROVINCES[rng.integers(8)] + LETTERS[rng.integers(24)] + "".join(SIGNS[i] for i in rng.integers(34, size=n - 2))
    )
    for i, sign in enumerate(text):
        x = 18 + i * (width - 45) / n + (14 if i > 1 else 0)
        draw.text((x, 4), sign, font=font, fill=(ink,) * 3)
    return np.array(image)


def lay(rng: np.random.Generator, on: np.ndarray, thing: np.ndarray, width_px: float, *, tilt: float) -> np.ndarray:
    """Lays a thing at an angle into a picture; returns its mask."""
    height_px = width_px * thing.shape[0] / thing.shape[1] * (1 - 0.35 * rng.random() * (tilt > 0))
    corners = np.array([[0, 0], [width_px, 0], [width_px, height_px], [0, height_px]])
    corners += rng.uniform(-0.06, 0.06, (4, 2)) * (width_px, height_px) * (tilt > 0)
    angle = np.radians(rng.uniform(-tilt, tilt))
    corners = corners @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]).T
    corners -= corners.min(0)
    corners += rng.uniform(8, np.array(on.shape[1::-1]) - corners.max(0) - 8)
    h, w = thing.shape[:2]
    there = cv2.getPerspectiveTransform(
        np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32), corners.astype(np.float32)
    )
    small = cv2.GaussianBlur(thing, (0, 0), max(0.35 * w / width_px, 0.3))
    warped = cv2.warpPerspective(small, there, on.shape[1::-1])
    mask = cv2.warpPerspective(np.full((h, w), 255, np.uint8), there, on.shape[1::-1]) > 127
    light = rng.uniform(0.45, 1.15)
    on[mask] = np.clip(warped[mask] * light, 0, 255)
    return mask


def spoil(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    noisy = np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 88])[1], 1))


def covered(mask: np.ndarray, boxes: list[detectors.Rect]) -> tuple[float, float]:
    """Share of the thing that is hidden, and share of the rest that is."""
    hidden = np.zeros(mask.shape, bool)
    for x0, y0, x1, y1 in boxes:
        hidden[y0:y1, x0:x1] = True
    return float(hidden[mask].mean()), float(hidden[~mask].mean())


def row(name: str, shares: list[tuple[float, float]], cpu_s: float) -> None:
    hit = np.mean([share[0] >= HIDDEN_SHARE for share in shares])
    waste = np.mean([share[1] for share in shares])
    print(f"| {name} | {len(shares)} | {hit:.2f} | {100 * waste:.1f} % | {cpu_s / len(shares):.2f} |", flush=True)


def measure_plates(rng: np.random.Generator, n: int) -> None:
    for low, high in ((36, 60), (60, 120), (120, 240), (240, 480)):
        shares, cpu_s = [], 0.0
        for i in range(n // 4):
            picture = surroundings(rng)
            mask = lay(rng, picture, plate(rng, list(COLOURS)[i % 4]), rng.uniform(low, high), tilt=15.0)
            picture = spoil(rng, picture)
            start = time.process_time()
            boxes = detectors.plates(picture)
            cpu_s += time.process_time() - start
            shares.append(covered(mask, boxes))
        row(f"plates {low}-{high} px wide", shares, cpu_s)


def measure_faces(rng: np.random.Generator, n: int) -> None:
    people = (np.load(SKIMAGE / "lfw_subset.npy")[:100] * 255).astype(np.uint8)
    for size in (28, 48, 96):
        shares, cpu_s = [], 0.0
        for i in range(n // 3):
            picture = surroundings(rng, 320)
            mask = lay(rng, picture, np.repeat(people[3 * i % 100][..., None], 3, 2), size, tilt=0.0)
            picture = spoil(rng, picture)
            start = time.process_time()
            boxes = detectors.faces(picture)
            cpu_s += time.process_time() - start
            shares.append(covered(mask, boxes))
        row(f"faces (LFW) {size} px", shares, cpu_s)


def measure_leaning() -> None:
    """One portrait: the face is at 157-360, 114-317 of 512 x 600."""
    portrait = Image.open(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg").convert("RGB")
    where = Image.new("L", portrait.size)
    ImageDraw.Draw(where).ellipse((175, 125, 345, 330), fill=255)
    for lean in (0, 10, 20, 30, 45, 90):
        shares, cpu_s = [], 0.0
        for size in (70, 130, 220):
            for sign in (-1, 1):
                small = (size, int(size * 600 / 512))
                turned = np.array(portrait.resize(small).rotate(sign * lean, expand=True, fillcolor=(120, 120, 120)))
                mask = np.array(where.resize(small).rotate(sign * lean, expand=True)) > 127
                start = time.process_time()
                shares.append(covered(mask, detectors.faces(turned)))
                cpu_s += time.process_time() - start
        row(f"one portrait, leaning {lean} degrees", shares, cpu_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plates", type=int, default=300)
    parser.add_argument("--faces", type=int, default=100)
    parser.add_argument("--seed", type=int, default=7)
    wanted = parser.parse_args()
    print("| what | n | hidden | blurred for nothing | CPU-s a picture |\n|---|---|---|---|---|")
    measure_plates(np.random.default_rng(wanted.seed), wanted.plates)
    measure_faces(np.random.default_rng(wanted.seed), wanted.faces)
    measure_leaning()


if __name__ == "__main__":
    main()
