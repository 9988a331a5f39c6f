"""How a photograph looks, measured, so that what is put into it looks alike: range, shadow, sharpness, grain."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from simulators.raster import Bytes, Floats
from simulators.sun import Sun

# Colours of things are those of sunlit ground whose white is about this; a photograph's own white replaces it.
SUNLIT_WHITE = 222.0
# Of rendered towns: the colourfulness that palettes give, and what full shadow keeps of the light (red, green, blue).
OWN_CHROMA = 62.0
OWN_SHADOW = np.array((0.40, 0.43, 0.49), np.float32)
_SOFTEST = 1.8


@dataclass(frozen=True)
class Look:
    """A photograph's range and rendition.

    Attributes:
        black, white: Darkest and brightest that it has, by band.
        chroma: Colourfulness of what is colourful in it, in 8-bit steps.
        shadow: Share of light that full shadow keeps, by band.
        crispness: Detail of one pixel over detail of two: the sharpness that inserts are brought to.
        grain: Noise on its smoothest ground, 8-bit steps.
    """

    black: Floats
    white: Floats
    chroma: float
    shadow: Floats
    crispness: float
    grain: float

    @classmethod
    def of(cls, picture: Bytes) -> Look:
        """Measures a picture (rows, cols, 3); missing parts are black and do not count."""
        seen = picture.reshape(-1, 3)[:: max(1, picture.size // 600_000)].astype(np.float32)
        seen = seen[seen.max(axis=1) > 4]
        if len(seen) < 100:
            return cls(np.zeros(3, np.float32), np.full(3, SUNLIT_WHITE, np.float32), OWN_CHROMA, OWN_SHADOW, 0.6, 2.0)
        black, dark, middle, white = np.percentile(seen, (1.5, 3, 50, 97), axis=0).astype(np.float32)
        chroma = float(np.percentile(seen.max(axis=1) - seen.min(axis=1), 92))
        # Dark things and shadows are not told apart: half of what is measured is believed.
        shadow = 0.5 * OWN_SHADOW + 0.5 * np.clip(dark / np.maximum(middle, 1), 0.15, 0.6)
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
        return cls(black, white, chroma, shadow.astype(np.float32), crispness(grey), _grain(grey))

    def colours(self, rgb: Bytes) -> Bytes:
        """Colours of things in the photograph's range and colourfulness."""
        gain = np.clip((self.white - self.black) / SUNLIT_WHITE, 0.35, 1.1)
        out = rgb * gain + self.black * 0.6
        grey = out.mean(axis=-1, keepdims=True)
        out = grey + (out - grey) * np.clip(self.chroma / OWN_CHROMA, 0.55, 1.15)
        return np.clip(out, 0, 255).astype(np.uint8)

    def shade(self, lit: Bytes, heights: Floats, sun: Sun, gsd_m: float) -> Floats:
        """Factor on the photograph: cast shadow by the sun's share, and a little dark where things meet the ground."""
        direct = lit.astype(np.float32) / 255
        direct = direct * (1 - sun.cloud) + sun.cloud
        near = cv2.GaussianBlur(np.clip(heights, 0, 2.5), (0, 0), 0.45 / gsd_m)
        contact = 1 - 0.13 * np.minimum(near, 1.6)
        bands = [(float(sky) + (1 - float(sky)) * direct) * contact for sky in self.shadow]
        return cv2.merge([band.astype(np.float32) for band in bands])

    def softness(self, rgb: Bytes, mask: Bytes) -> float:
        """Sigma in pixels that makes what is masked in `rgb` as crisp as the photograph."""
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
        inside = cv2.erode(mask, np.ones((3, 3), np.uint8))
        if int(inside.sum()) < 200:
            return 0.6
        low, high = 0.3, _SOFTEST
        for _ in range(5):
            middle = (low + high) / 2
            if crispness(cv2.GaussianBlur(grey, (0, 0), middle), inside) > self.crispness:
                low = middle
            else:
                high = middle
        return (low + high) / 2

    def noise(self, shape: tuple[int, int], rng: np.random.Generator) -> Floats:
        """The photograph's grain for inserts, (rows, cols, 1)."""
        tile = cv2.GaussianBlur(rng.standard_normal((257, 257), np.float32), (0, 0), 0.6) * np.float32(1.7 * self.grain)
        whole = np.tile(tile, (-(-shape[0] // 257), -(-shape[1] // 257)))[: shape[0], : shape[1], None]
        return np.asarray(whole, np.float32)


def crispness(grey: Floats, mask: Bytes | None = None) -> float:
    """Detail of about one pixel over detail of about two; falls as a picture is blurred."""
    once, twice = cv2.GaussianBlur(grey, (0, 0), 0.8), cv2.GaussianBlur(grey, (0, 0), 1.6)
    fine, coarse = np.abs(grey - once), np.abs(once - twice)
    if mask is not None:
        fine, coarse = fine[mask > 0], coarse[mask > 0]
    return float(fine.mean() / max(float(coarse.mean()), 1e-3))


def _grain(grey: Floats) -> float:
    """Noise of the calmest tenth of the picture."""
    off = np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 1.0))
    local = cv2.resize(off, (max(1, grey.shape[1] // 16), max(1, grey.shape[0] // 16)), interpolation=cv2.INTER_AREA)
    calm = local[cv2.resize(grey, local.shape[::-1], interpolation=cv2.INTER_AREA) > 8]
    return float(np.clip(np.percentile(calm, 10) * 1.25, 0.3, 6.0)) if calm.size else 2.0
