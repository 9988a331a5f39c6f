"""Ground to photograph, as memory-mapped rasters in a folder: a town's day, or any GeoTIFF orthophoto with a DSM."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Proj, Transformer
from rasterio.enums import Resampling
from rasterio.warp import calculate_default_transform, reproject

from simulators.errors import SimulatorError
from simulators.raster import Bytes, Floats, Grid
from simulators.town import TownDay

BAND_TYPES = ("uint8", "uint16")


@dataclass(frozen=True)
class Facades:
    """Tables over the owner raster (row 0 is no building): colour (n, 3) and body (n, 7).

    A body is x, y (pixels of the ground's raster), length, width (m), azimuth from grid north (degrees), storey (m),
    eave (m above sea level).
    """

    rgb: Floats
    body: Floats


class Ground:
    """Colour and surface height over a metric grid, on disk; cheap to hand to a worker process.

    Args:
        folder: Holds rgb.npy, dsm.npy and ground.npz, and for towns owner.npy.
        keep: An object that must live as long as the folder (a temporary directory).
    """

    def __init__(self, folder: Path, keep: Any = None) -> None:
        self.folder = folder
        self._keep = keep

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "_keep": None}

    @cached_property
    def _meta(self) -> dict[str, NDArray]:
        with np.load(self.folder / "ground.npz") as file:
            return {name: file[name] for name in file.files}

    @cached_property
    def rgb(self) -> Bytes:
        """(rows, cols, 3)."""
        return np.load(self.folder / "rgb.npy", mmap_mode="r")

    @cached_property
    def dsm(self) -> Floats:
        """(rows, cols), m above sea level."""
        return np.load(self.folder / "dsm.npy", mmap_mode="r")

    @cached_property
    def owner(self) -> NDArray[np.uint16] | None:
        """Building of each cell of `owner_gsd_m`, or None where walls are not known."""
        file = self.folder / "owner.npy"
        return np.load(file, mmap_mode="r") if file.exists() else None

    @property
    def owner_gsd_m(self) -> float:
        """Cell of `owner`."""
        return float(self._meta["owner_gsd_m"])

    @cached_property
    def facades(self) -> Facades | None:
        """Walls, where they are known."""
        return Facades(self._meta["facade_rgb"], self._meta["facade_body"]) if self.owner is not None else None

    @cached_property
    def transform(self) -> Affine:
        """Pixel to metres."""
        return Affine(*self._meta["transform"][:6])

    @property
    def gsd_m(self) -> float:
        """Pixel size."""
        return float(self.transform.a)

    @cached_property
    def crs(self) -> CRS:
        """The metric projection."""
        return CRS.from_wkt(str(self._meta["crs"]))

    @property
    def sun(self) -> tuple[float, float, float]:
        """Unit vector to the sun (east, north, up)."""
        east, north, up = (float(v) for v in self._meta["sun"])
        return east, north, up

    @cached_property
    def _project(self) -> Transformer:
        return Transformer.from_crs(4326, self.crs, always_xy=True)

    def place(self, lon: float, lat: float) -> tuple[float, float, float]:
        """Column, row (pixels) and meridian convergence (degrees, grid north east of true north) of a position."""
        east, north = self._project.transform(lon, lat)
        col, row = ~self.transform @ (east, north)
        convergence = Proj(self.crs).get_factors(lon, lat).meridian_convergence
        return float(col), float(row), float(convergence)


def save_ground(
    folder: Path, transform: Affine, crs: CRS, sun: tuple[float, float, float], owner_gsd_m: float = 1.0,
    facade_rgb: Floats | None = None, bodies: dict[int, tuple[float, ...]] | None = None, grid: Grid | None = None,
) -> None:  # fmt: skip
    """Writes ground.npz beside the rasters; facades as `Scene.walls` gives them, in local metres of `grid`."""
    more: dict[str, Any] = {}
    if facade_rgb is not None and bodies is not None and grid is not None:
        table = np.zeros((len(facade_rgb), 7), np.float32)
        for k, (x, y, *rest) in bodies.items():
            table[k] = (x - grid.x0) / grid.gsd_m, (grid.y_top - y) / grid.gsd_m, *rest
        more = {"facade_rgb": facade_rgb, "facade_body": table}
    np.savez(
        folder / "ground.npz", transform=np.array(transform[:6]), crs=np.array(crs.to_wkt()), sun=np.array(sun),
        owner_gsd_m=owner_gsd_m, **more,
    )  # fmt: skip


def town_ground(
    day: TownDay, gsd_m: float, folder: Path | None = None, *, margin_m: float | None = None, processes: int = 1,
    progress: Callable[[int, int, str], None] | None = None,
) -> Ground:  # fmt: skip
    """Renders a town's day, with its margin, for photographing at about `gsd_m`."""
    keep = tempfile.TemporaryDirectory(prefix="yunxun-ground-") if folder is None else None
    place = Path(keep.name) if keep else folder
    assert place is not None
    ortho = day.render_ortho(
        gsd_m,
        margin_m=day.margin_m if margin_m is None else margin_m,
        folder=place,
        processes=processes,
        progress=progress,
    )
    rgb, bodies = day.scene.walls()
    save_ground(place, ortho.transform, day.town.crs, day.sun.toward, ortho.owner_gsd_m, rgb, bodies, ortho.grid)
    return Ground(place, keep)


def ortho_ground(
    ortho: Path, dsm: Path | None = None, *, gsd_m: float | None = None, alt_amsl_m: float = 0.0,
    folder: Path | None = None,
) -> Ground:  # fmt: skip
    """Any GeoTIFF orthophoto as ground, with its surface heights where there are any, else flat at `alt_amsl_m`.

    Args:
        ortho: RGB (or grey) GeoTIFF with a CRS; warped to its UTM zone.
        dsm: Heights above sea level, any grid that overlaps; holes are filled with its median.
        gsd_m: Pixel size to work at; the orthophoto's own when None.
        alt_amsl_m: Height of the ground where there is no DSM.
        folder: Where the rasters go; a temporary folder when None.

    Raises:
        SimulatorError: No such file, no CRS, or a band type that is not 8 or 16 bit.
    """
    keep = tempfile.TemporaryDirectory(prefix="yunxun-ground-") if folder is None else None
    place = Path(keep.name) if keep else folder
    assert place is not None
    place.mkdir(parents=True, exist_ok=True)
    if not ortho.is_file():
        raise SimulatorError(f"no orthophoto at {ortho}: give a GeoTIFF")
    with rasterio.open(ortho) as source:
        if source.crs is None or source.dtypes[0] not in BAND_TYPES:
            raise SimulatorError(
                f"{ortho}: expected an 8 or 16 bit GeoTIFF with a CRS, got {source.dtypes[0]} with crs {source.crs};"
                " georeference or convert it"
            )
        lon, lat = source.lnglat()
        crs = CRS.from_epsg((32600 if lat >= 0 else 32700) + int((lon + 180) // 6) + 1)
        transform, cols, rows = calculate_default_transform(
            source.crs, crs.to_wkt(), source.width, source.height, *source.bounds, resolution=gsd_m
        )
        rgb = np.lib.format.open_memmap(place / "rgb.npy", "w+", dtype=np.uint8, shape=(rows, cols, 3))
        bands = (1, 2, 3) if source.count >= 3 else (1, 1, 1)
        for k, band in enumerate(bands):
            out = np.zeros((rows, cols), source.dtypes[0])
            reproject(
                rasterio.band(source, band), out, dst_transform=transform, dst_crs=crs.to_wkt(),
                resampling=Resampling.bilinear,
            )  # fmt: skip
            rgb[..., k] = out if out.dtype == np.uint8 else (out >> 8).astype(np.uint8)
    heights = np.lib.format.open_memmap(place / "dsm.npy", "w+", dtype=np.float32, shape=(rows, cols))
    heights[:] = alt_amsl_m
    if dsm is not None:
        _read_heights(dsm, heights, transform, crs)
    save_ground(place, transform, crs, (0.0, 0.0, 1.0))
    return Ground(place, keep)


def _read_heights(dsm: Path, out: Floats, transform: Affine, crs: CRS) -> None:
    with rasterio.open(dsm) as source:
        warped = np.full(out.shape, np.nan, np.float32)
        reproject(
            rasterio.band(source, 1), warped, dst_transform=transform, dst_crs=crs.to_wkt(), dst_nodata=np.nan,
            resampling=Resampling.bilinear,
        )  # fmt: skip
    seen = np.isfinite(warped)
    if not seen.any():
        raise SimulatorError(f"{dsm}: no height over the orthophoto: give a DSM of the same place")
    out[:] = np.where(seen, warped, np.median(warped[seen]))


class TownGround:
    """Ground of a town's day."""

    @staticmethod
    def of(
        day: TownDay, gsd_m: float, *, folder: Path | None = None, processes: int = 2,
        progress: Callable[[int, int, str], None] | None = None,
    ) -> Ground:  # fmt: skip
        """Paints the day once for photographs of `gsd_m`; the same `day` and GSD give the same object again."""
        kept = day.grounds.get(gsd_m)
        if kept is None:
            kept = day.grounds[gsd_m] = town_ground(day, gsd_m, folder, processes=processes, progress=progress)
        return kept


class OrthoGround:
    """Ground from a GeoTIFF orthophoto."""

    @staticmethod
    def open(ortho: Path, dsm: Path | None = None, *, gsd_m: float | None = None, alt_amsl_m: float = 0.0) -> Ground:
        """`ortho_ground` into a temporary folder."""
        return ortho_ground(ortho, dsm, gsd_m=gsd_m, alt_amsl_m=alt_amsl_m)
