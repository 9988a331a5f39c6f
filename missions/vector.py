"""Vector files in: GeoJSON, KML/KMZ, GeoPackage, Shapefile in any coordinate system, as features in WGS84 lon, lat."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError
from shapely.geometry.base import BaseGeometry

from missions.errors import MissionsError

FORMATS = (".geojson", ".json", ".kml", ".kmz", ".gpkg", ".shp", ".zip")


@dataclass(frozen=True)
class Feature:
    """One feature of a file.

    Attributes:
        geometry: Shapely geometry, WGS84 degrees (lon, lat).
        properties: Attributes as the file has them; missing values are None.
        label: How to name it in a message: file, number and name.
    """

    geometry: BaseGeometry
    properties: Mapping[str, Any]
    label: str


# Parts of a zipped shapefile that are read.
_SHAPE_PARTS = (".shp", ".shx", ".dbf", ".prj", ".cpg")


@dataclass(frozen=True)
class _Source:
    """One thing for GDAL to open: a file, or KML text; `encoding` of its attributes where the file does not say."""

    data: Path | bytes
    encoding: str | None = None

    def open(self) -> Path | io.BytesIO:
        """The file's path, or the text as a file."""
        return io.BytesIO(self.data) if isinstance(self.data, bytes) else self.data


def _kml_texts(path: Path) -> list[bytes]:
    """The root document of a KMZ; every document where none is the root."""
    try:
        with zipfile.ZipFile(path) as archive:
            inner = sorted(name for name in archive.namelist() if name.lower().endswith(".kml"))
            if not inner:
                raise MissionsError(f"{path} holds no .kml: export it again as KMZ")
            roots = [name for name in inner if name.lower().rpartition("/")[2] == "doc.kml"]
            return [archive.read(name) for name in (roots[:1] or inner)]
    except zipfile.BadZipFile as error:
        raise MissionsError(f"{path} is not a KMZ archive: export it again") from error


def _unzipped(path: Path, folder: Path) -> Path:
    """The one shapefile of an archive, wherever in it, under a plain name: its own may be in any encoding."""
    try:
        with zipfile.ZipFile(path) as archive:
            shapes = [name for name in archive.namelist() if name.lower().endswith(".shp") and "__MACOSX" not in name]
            if len(shapes) != 1:
                found = ", ".join(shapes) or "none"
                raise MissionsError(
                    f"{path} holds {len(shapes)} shapefiles ({found}): expected one; zip each by itself"
                )
            stem = shapes[0].rpartition(".")[0].lower()
            for name in archive.namelist():
                base, _, kind = name.rpartition(".")
                if base.lower() == stem and f".{kind.lower()}" in _SHAPE_PARTS:
                    (folder / f"layer.{kind.lower()}").write_bytes(archive.read(name))
    except zipfile.BadZipFile as error:
        raise MissionsError(f"{path} is not a ZIP archive: zip the shapefile again") from error
    return folder / "layer.shp"


def _attribute_encoding(path: Path) -> str | None:
    """Of a shapefile without .cpg: UTF-8 where its table is that, else what offices in China write."""
    table = path.with_suffix(".dbf")
    if path.suffix.lower() != ".shp" or path.with_suffix(".cpg").is_file() or not table.is_file():
        return None
    data = table.read_bytes()
    records = data[int.from_bytes(data[8:10], "little") :]
    try:
        records.decode("utf-8")
    except UnicodeDecodeError:
        return "gb18030"
    return "utf-8"


def _sources(path: Path, folder: Path) -> list[_Source]:
    if not path.is_file():
        raise MissionsError(f"no file at {path}: expected a vector file ({', '.join(FORMATS)})")
    kind = path.suffix.lower()
    if kind not in FORMATS:
        raise MissionsError(f"{path} is of an unknown kind: expected one of {', '.join(FORMATS)}")
    if kind == ".kmz":
        return [_Source(text) for text in _kml_texts(path)]
    file = _unzipped(path, folder) if kind == ".zip" else path
    return [_Source(file, _attribute_encoding(file))]


def _read_layers(path: Path) -> list[tuple[Any, Any, Any]]:
    """Every layer's (meta, WKB geometries, columns)."""
    layers = []
    with tempfile.TemporaryDirectory() as folder:
        for source in _sources(path, Path(folder)):
            try:
                # By number: a source in memory gives its layers another name each time it is opened.
                for number in range(len(pyogrio.list_layers(source.open()))):
                    meta, _, geometry, columns = pyogrio.raw.read(
                        source.open(), layer=number, datetime_as_string=True, encoding=source.encoding
                    )
                    layers.append((meta, geometry, columns))
            except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, ValueError) as error:
                reason = str(error).splitlines()[0].partition("; It might help")[0].replace(folder, "")
                raise MissionsError(
                    f"{path} cannot be read: {reason}; check that it is whole and export it again"
                ) from error
    return layers


def _to_wgs84(geometries: Any, crs_text: str | None, path: Path) -> Any:
    if crs_text is None:
        raise MissionsError(
            f"{path} is in no known coordinate system (no .prj or crs): save it with one, best EPSG:4326 (lon, lat)"
        )
    try:
        crs = CRS.from_user_input(crs_text)
    except CRSError as error:
        raise MissionsError(f"{path} is in an unknown coordinate system {crs_text!r}: save it in EPSG:4326") from error
    if crs.to_epsg() in (4326, 4490, 4979):  # CGCS2000 degrees are taken as WGS84: decimetres apart
        return geometries
    transformer = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    return shapely.transform(geometries, lambda xy: np.column_stack(transformer.transform(xy[:, 0], xy[:, 1])))


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and np.isnan(value):
        return None
    return value


def _check_degrees(feature: Feature) -> None:
    west, south, east, north = feature.geometry.bounds
    if abs(west) <= 180 and abs(east) <= 180 and abs(south) <= 90 and abs(north) <= 90:
        return
    if abs(south) <= 180 and abs(north) <= 180 and abs(west) <= 90 and abs(east) <= 90:
        raise MissionsError(
            f"{feature.label}: latitude {north:.4f} is beyond 90: longitude and latitude are swapped; "
            "write longitude first"
        )
    raise MissionsError(
        f"{feature.label}: ({west:.1f}, {south:.1f}) are not degrees, and the file names no other coordinate system; "
        "save it in EPSG:4326 (lon, lat) or with its own"
    )


def read_features(path: Path) -> list[Feature]:
    """Reads every feature that has a geometry.

    Raises:
        MissionsError: No such file, an unreadable one, no known coordinate system, swapped coordinates, no feature.
    """
    features: list[Feature] = []
    for meta, wkb, columns in _read_layers(path):
        if wkb is None:
            continue
        geometries = shapely.force_2d(shapely.from_wkb(wkb, on_invalid="ignore"))
        geometries = _to_wgs84(geometries, meta["crs"], path)
        names = [str(name) for name in meta["fields"]]
        for number, geometry in enumerate(geometries):
            if geometry is None or geometry.is_empty:
                continue
            row = {name: _plain(column[number]) for name, column in zip(names, columns, strict=True)}
            title = next((str(row[key]) for key in ("name", "Name", "cell", "code", "名称") if row.get(key)), "")
            label = f"{path} feature {number + 1}" + (f" ({title})" if title else "")
            features.append(Feature(geometry, row, label))
    if not features:
        raise MissionsError(f"{path} holds no feature with a geometry: draw at least one and save again")
    for feature in features:
        _check_degrees(feature)
    return features


def polygons_of(geometry: BaseGeometry) -> list[shapely.Polygon]:
    """The polygons of a geometry, however nested; other parts are left out."""
    parts = shapely.get_parts(shapely.get_parts(np.atleast_1d(geometry)))
    return [part for part in parts if part.geom_type == "Polygon" and not part.is_empty]
