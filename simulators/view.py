"""What a camera over a ground sees: the surface each ray meets, and its colour, walls included."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from missions.camera import Camera
from simulators.ground import Ground
from simulators.lens import STRIDE_PX, enlarged
from simulators.raster import Bytes, Floats
from simulators.sight import EDGE_PLAIN_M, Sight, fan_of, look

# Rays run outwards and end at their datum point at the latest: nothing beyond a frame's footprint is seen, but sides
# take their colour up to this much further out.
MARGIN_M = 2.5
# Two heights this near belong to one surface (a roof's slope over a fan's cell), not to a step.
SAME_SURFACE_M = 0.3
# From so many pixels on, rays are solved for every second pixel and row: at such sizes a pixel is a few centimetres.
LARGE_PX = 6_000_000
# And the fan is so much coarser: 2.6 pixels, a tenth of a metre at 4 cm.
LARGE_FAN = 1.6
# Rows in work at a time: with 2,000 columns each array is a quarter of a megabyte, and all of them fit a core's cache.
STRIP_ROWS = 32
# Light on sides whose paint is not known: crowns, cars, heaps, rims.
SIDE_LIGHT = 0.74


def window(ground: Ground, cols: tuple[float, float], rows: tuple[float, float]) -> tuple[slice, slice]:
    """Ground pixels of a range with a margin, clipped to the raster (never empty)."""
    height, width = ground.dsm.shape
    margin = MARGIN_M / ground.gsd_m
    top = int(min(max(0, rows[0] - margin), height - 2))
    left = int(min(max(0, cols[0] - margin), width - 2))
    bottom = int(max(min(height, rows[1] + margin), top + 2))
    right = int(max(min(width, cols[1] + margin), left + 2))
    return slice(top, bottom), slice(left, right)


class Desk:
    """Room for the piece of ground in work, used again from photograph to photograph.

    A ground lies in a file whose rows are many memory pages apart; a photograph that is turned to it would touch a page
    a pixel. In one block of fresh memory pages are large.
    """

    def __init__(self) -> None:
        self._blocks: dict[str, NDArray[np.uint8]] = {}

    def lay(self, name: str, array: NDArray) -> NDArray:
        """A copy of an array that lives until the next one of this name."""
        copy = self.clear(name, array.shape, array.dtype)
        np.copyto(copy, array)
        return copy

    def clear(self, name: str, shape: tuple[int, ...], kind: Any) -> NDArray:
        """An array of any content that lives until the next one of this name."""
        size = math.prod(shape) * np.dtype(kind).itemsize
        block = self._blocks.get(name)
        if block is None or block.size < size:
            block = self._blocks[name] = np.empty(size * 5 // 4, np.uint8)
        return block[:size].view(kind).reshape(shape)


@dataclass
class View:
    """A camera's place over a ground: foot at (`col`, `row`) of its raster, `camera_m` above the plane `datum_m`."""

    ground: Ground
    camera: Camera
    col: float
    row: float
    datum_m: float
    camera_m: float
    desk: Desk = field(default_factory=Desk)

    def colours(self, u: Floats, v: Floats) -> tuple[Bytes, Floats]:
        """The picture of rays that meet the datum plane at (u, v) ground pixels from the foot (coarse grid).

        Returns colours (height, width, 3), and the share of the way to the datum at which each ray ends, at full or
        at half size.
        """
        ground, camera = self.ground, self.camera
        self.part = window(
            ground,
            (self.col + min(0.0, float(u.min())), self.col + max(0.0, float(u.max()))),
            (self.row - max(0.0, float(v.max())), self.row - min(0.0, float(v.min()))),
        )
        self.foot = self.col - self.part[1].start, self.row - self.part[0].start
        middle = u.shape[0] // 2
        pixel = float(np.median(np.hypot(np.diff(u[middle]), np.diff(v[middle])))) / STRIDE_PX
        step = 2 if camera.width_px * camera.height_px >= LARGE_PX else 1
        self.dsm = self.desk.lay("dsm", ground.dsm[self.part])
        sight = look(
            self.dsm,
            self.datum_m,
            *self.foot,
            self.camera_m,
            fan_of(u, v, pixel * (LARGE_FAN if step == 2 else 1)),
        )
        rgb = self.desk.lay("rgb", ground.rgb[self.part])
        if pixel > 1.8:
            rgb = cv2.GaussianBlur(rgb, (0, 0), 0.35 * pixel)
        wide_u, wide_v = enlarged(u, camera, step), enlarged(v, camera, step)
        image: Bytes = self.desk.clear("image", (camera.height_px, camera.width_px, 3), np.uint8)
        share: Floats = self.desk.clear("share", wide_u.shape, np.float32)
        # In strips: what is in work stays in the processor's cache.
        for top in range(0, len(wide_u), STRIP_ROWS):
            strip = slice(top, top + STRIP_ROWS)
            share[strip] = self._strip(sight, rgb, wide_u[strip], wide_v[strip], image[top * step :], step)
        return image, share

    def _strip(self, sight: Sight, rgb: Bytes, u: Floats, v: Floats, out: Bytes, step: int) -> Floats:
        """Colours of a strip into the first rows of `out`; returns its shares."""
        share, slack = sight.at(u, v)
        cols, rows = self._places(share, u, v)
        # The fan is coarser than the photograph: on the surface that it found, the height says where the ray ends.
        plain = self.datum_m + EDGE_PLAIN_M
        below = cv2.remap(self.dsm, cols, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=plain)
        finer: Floats = np.subtract(np.float32(self.camera_m + self.datum_m), below, out=below)
        finer *= np.float32(1 / self.camera_m)
        slack += np.float32(SAME_SURFACE_M / self.camera_m)
        near = cv2.absdiff(finer, share) < slack
        np.copyto(share, finer, where=near)
        cols, rows = self._places(share, u, v)
        # A ray that ends well below the surface where it ends has met a side.
        where = np.flatnonzero(~near)
        paint = self._sides(where, cols, rows, share, u, v)
        height = min(len(out), step * len(u))
        if step > 1:
            size = (step * u.shape[1], step * u.shape[0])
            cols, rows = (cv2.resize(k, size, interpolation=cv2.INTER_LINEAR) for k in (cols, rows))
        image = cv2.remap(rgb, cols, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        _cover(image, where, paint, u.shape[1], step)
        out[:height] = image[:height, : out.shape[1]]
        return share

    def _places(self, share: Floats, u: Floats, v: Floats) -> tuple[Floats, Floats]:
        """Columns and rows of the ground's window where rays end."""
        cols, rows = u * share, v * share
        cols += np.float32(self.foot[0] - 0.5)
        np.subtract(np.float32(self.foot[1] - 0.5), rows, out=rows)
        return cols, rows

    def _sides(
        self, where: NDArray[np.intp], cols: Floats, rows: Floats, share: Floats, u: Floats, v: Floats
    ) -> Floats:
        """Paint of sides where a building's wall is known, else NaN: (n, 3).

        Sides without paint (trees, cars, heaps) show the colour a little further in: their `cols`, `rows` are moved.
        """
        ground = self.ground
        paint = np.full((len(where), 3), np.nan, np.float32)
        if not len(where):
            return paint
        fu, fv = u.ravel()[where], v.ravel()[where]
        length = np.maximum(np.hypot(fu, fv), 1e-3)
        out_x, out_y = fu / length, fv / length
        at_col, at_row = cols.ravel()[where], rows.ravel()[where]
        height = self.camera_m * (1 - share.ravel()[where])
        facades, owner = ground.facades, ground.owner
        if facades is not None and owner is not None:
            inward = 0.32 / ground.gsd_m
            x_px, y_px = at_col + out_x * inward + self.part[1].start, at_row - out_y * inward + self.part[0].start
            ratio = ground.gsd_m / ground.owner_gsd_m
            col = np.clip((x_px * ratio).astype(np.int64), 0, owner.shape[1] - 1)
            row = np.clip((y_px * ratio).astype(np.int64), 0, owner.shape[0] - 1)
            index = owner[row, col]
            # Above the eave it is the roof's own rim, a parapet or something on the roof.
            known = (index > 0) & (height + self.datum_m < facades.body[index, 6] + 0.05)
            body = facades.body[index[known]]
            x, y = (x_px[known] - body[:, 0]) * ground.gsd_m, (body[:, 1] - y_px[known]) * ground.gsd_m
            paint[known] = facade(facades.rgb[index[known]], body, x, y, height[known], ground.sun)
        depth = self._depth(height, at_col, at_row, out_x, out_y)
        cols.ravel()[where] = at_col + out_x * depth
        rows.ravel()[where] = at_row - out_y * depth
        return paint

    def _depth(self, height: Floats, cols: Floats, rows: Floats, out_x: Floats, out_y: Floats) -> Floats:
        """How far inside a leaning side takes its colour, in pixels: up and down the crown, so that it is no streak."""
        swing = np.abs(np.mod(height * 0.7, 2.0) - 1.0) * 1.1 + 0.15
        depth = (swing / self.ground.gsd_m).astype(np.float32)
        view = self.dsm

        def surface(col: Floats, row: Floats) -> Floats:
            c = np.clip(np.rint(col), 0, view.shape[1] - 1).astype(np.int64)
            r = np.clip(np.rint(row), 0, view.shape[0] - 1).astype(np.int64)
            return np.asarray(view[r, c])

        # A thin thing (a wall, a pole) ends before that: stay at its face.
        thin = surface(cols + out_x * depth, rows - out_y * depth) < surface(cols, rows) - 1.0
        depth[thin] = 0.1 / self.ground.gsd_m
        return depth


def _cover(image: Bytes, where: NDArray[np.intp], paint: Floats, width: int, step: int) -> None:
    """Sides' light and paint on a strip; `where` counts pixels of the strip at `1 / step` of its size."""
    if not len(where):
        return
    flat = image.reshape(-1, 3)
    row, col = np.divmod(where, width)
    owned = ~np.isnan(paint[:, 0])
    for dy in range(step):
        for dx in range(step):
            place = (row * step + dy) * (width * step) + col * step + dx
            side = flat[place].astype(np.float32) * SIDE_LIGHT
            side[owned] = paint[owned]
            flat[place] = np.clip(side, 0, 255).astype(np.uint8)


def facade(rgb: Floats, body: Floats, x: Floats, y: Floats, height: Floats, sun: tuple[float, float, float]) -> Floats:
    """Paint of wall points (x east, y north of the body's middle): lit by the sun's side, with rows of windows."""
    turn = np.radians(body[:, 4])
    sin, cos = np.sin(turn), np.cos(turn)
    along, across = x * sin + y * cos, x * cos - y * sin
    end = body[:, 2] / 2 - np.abs(along) < body[:, 3] / 2 - np.abs(across)
    sign = np.where(end, np.sign(along), np.sign(across))
    normal_x, normal_y = np.where(end, sin, cos) * sign, np.where(end, cos, -sin) * sign
    light = 0.42 + 0.58 * np.clip(normal_x * sun[0] + normal_y * sun[1], 0, 1) + 0.1 * sun[2]
    storey = body[:, 5]
    level = np.mod(height + 0.4, np.maximum(storey, 0.1))
    place = np.mod(np.where(end, across, along) + 50, 2.9)
    window = (storey > 0) & (level > 1.0) & (level < 2.3) & (place > 0.9) & (place < 2.2)
    out = rgb * light[:, None]
    out[window] = np.array((62, 72, 84), np.float32) * (0.5 + 0.5 * light[window])[:, None]
    return out
