"""Nobody is recognised in what is shown: rules by ground resolution, and what is found in photographs from close by."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from api.errors import NotFoundError
from api.tiles import crops, detectors
from api.tiles.privacy import PrivacyRules, coarse, finest_gsd_m, hide, shown_px
from tests.api.rasters import decode, mosaic
from tests.api.world import LAT, LON, World, feature

RULES = PrivacyRules()


def stripes(width: int, height: int, period_px: int) -> Image.Image:
    """Black and white columns: what can be told apart at a resolution, and what not."""
    row = (np.arange(width) // max(period_px // 2, 1) % 2 * 255).astype(np.uint8)
    return Image.fromarray(np.repeat(np.tile(row, (height, 1))[..., None], 3, axis=2))


def contrast(image: Image.Image) -> float:
    return float(np.asarray(image.convert("L"), float)[20:-20, 20:-20].std())


def portrait(face_px: int = 120) -> Image.Image:
    import matplotlib

    whole = Image.open(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg").convert("RGB")
    share = face_px / 203
    return whole.resize((int(whole.width * share), int(whole.height * share)))


def plate(width_px: int) -> Image.Image:
    image = Image.new("RGB", (440, 140), (30, 70, 170))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((4, 4, 435, 135), 10, outline=(255, 255, 255), width=3)
    draw.text((18, 8), "QA 3K87D", font=ImageFont.load_default(96), fill=(255, 255, 255))
    return image.resize((width_px, width_px * 140 // 440), Image.Resampling.LANCZOS)


@pytest.mark.parametrize(
    ("gsd_m", "rule", "seen"),
    [(0.030, "far", True), (0.012, "coarse", False), (0.003, "close", False), (None, "close", False)],
)
def test_detail_that_would_tell_a_person_is_not_there(gsd_m: float | None, rule: str, seen: bool) -> None:
    """Columns as wide as the strokes of a plate at that distance, away from the box."""
    image = stripes(1200, 300, 4 if gsd_m is None else max(round(0.05 / gsd_m), 2))
    shown, hidden = hide(image, (1100, 10, 1150, 60), gsd_m, RULES)
    assert hidden.rule == rule and shown.size == image.size
    away = shown.crop((0, 0, 800, 300))
    assert (contrast(away) > 0.6 * contrast(image)) is seen


def test_the_thing_itself_stays_sharp() -> None:
    image = stripes(1200, 900, 6)
    shown, _ = hide(image, (400, 400, 600, 500), None, PrivacyRules(detect=False))
    assert np.array_equal(np.asarray(shown)[420:480, 420:580], np.asarray(image)[420:480, 420:580])
    assert contrast(shown.crop((0, 0, 300, 300))) < 0.4 * contrast(image)


@pytest.mark.parametrize("face_px", [40, 120])
def test_a_face_in_the_thing_itself_is_blurred(face_px: int) -> None:
    person = portrait(face_px)
    image = Image.new("RGB", (900, 700), (96, 104, 90))
    image.paste(person, (200, 60))
    share = face_px / 203
    face = tuple(int(value * share) + at for value, at in zip((175, 130, 345, 320), (200, 60, 200, 60), strict=True))
    shown, hidden = hide(image, (180, 40, 240 + person.width, 80 + person.height), None, RULES)
    assert hidden.faces >= 1
    before, after = (np.asarray(one.crop(face).convert("L"), float) for one in (image, shown))
    fine = [np.abs(np.diff(one, 2)).mean() for one in (before, after)]
    assert fine[1] < 0.35 * fine[0], fine


def test_a_plate_in_the_thing_itself_is_blurred() -> None:
    rng = np.random.default_rng(2)
    image = Image.fromarray(rng.integers(90, 110, (500, 700, 3), dtype=np.uint8))
    image.paste(plate(150), (300, 250))
    shown, hidden = hide(image, (200, 150, 600, 400), None, RULES)
    assert hidden.plates >= 1
    inside = (315, 255, 435, 290)
    assert contrast_of(shown, inside) < 0.5 * contrast_of(image, inside)


def contrast_of(image: Image.Image, box: tuple[int, int, int, int]) -> float:
    return float(np.abs(np.diff(np.asarray(image.crop(box).convert("L"), float), 2)).mean())


def test_a_bare_surface_is_not_blurred_for_nothing() -> None:
    rng = np.random.default_rng(3)
    image = np.clip(rng.normal(120, 8, (400, 500, 3)), 0, 255).astype(np.uint8)
    assert detectors.faces(image) == [] and detectors.plates(image) == []
    for size in ((1, 1), (3, 40), (24, 24)):
        tiny = np.zeros((*size, 3), np.uint8)
        assert detectors.faces(tiny) == [] and detectors.plates(tiny) == []


def xmp(height_m: str) -> bytes:
    packet = (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description drone-dji:RelativeAltitude="{height_m}"/></x:xmpmeta>'
    )
    return b"http://ns.adobe.com/xap/1.0/\x00" + packet.encode()


def photo(path: Path, image: Image.Image, height_m: str | None) -> Path:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=95)
    data = out.getvalue()
    if height_m is not None:
        segment = xmp(height_m)
        data = data[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + data[2:]
    path.write_bytes(data)
    return path


def test_distance_is_the_height_however_the_camera_looks(tmp_path: Path) -> None:
    image = stripes(1500, 1000, 8)
    # 24 mm equivalent without a focal length: 1500 px wide is about 1000 px of focal length.
    far = finest_gsd_m(photo(tmp_path / "far.jpg", image, "+100.0"))
    assert far == pytest.approx(0.08, rel=0.1)
    near = finest_gsd_m(photo(tmp_path / "near.jpg", image, "+2.0"))
    assert near is not None and near < RULES.close_gsd_m
    for height in (None, "+0.0", "-3.0", "nan", "x"):
        assert finest_gsd_m(photo(tmp_path / "unknown.jpg", image, height)) is None
    (tmp_path / "none.jpg").write_bytes(b"x")
    with pytest.raises(NotFoundError):
        finest_gsd_m(tmp_path / "none.jpg")


@pytest.mark.parametrize("view", ["overview", "medium", "detail"])
def test_every_view_of_a_close_photograph_is_coarse_around_the_thing(tmp_path: Path, view: crops.View) -> None:
    path = photo(tmp_path / "a.jpg", stripes(3000, 2000, 10), None)
    shown = decode(crops.frame_jpeg(path, (1400, 900, 1600, 1100), view=view, mark=False))
    corner = shown[: shown.shape[0] // 6, : shown.shape[1] // 6, 0]
    assert corner.std() < 40, "columns of 5 of 3000 pixels are not seen at 320"


def tile_at(lon: float, lat: float, z: int) -> tuple[float, float]:
    n = 2**z
    return (lon + 180) / 360 * n, (1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2 * n


def test_mosaics_are_never_finer_than_legible(tmp_path: Path) -> None:
    from api.tiles.render import tile_png

    path = mosaic(tmp_path / "fine.tif", bright=False, gsd_m=0.005, side_px=2048)
    x, y = (int(value) for value in tile_at(LON, LAT, 24))
    fine, shown = (
        np.asarray(Image.open(io.BytesIO(tile_png(path, 24, x, y, rules))).convert("L"), float)
        for rules in (PrivacyRules(legible_gsd_m=0.005), RULES)
    )
    assert fine.min() > 0, "the tile lies within the mosaic"
    assert shown.shape == (256, 256) and shown.std() < 0.5 * fine.std()
    assert shown_px(60.0, 720) == 720 and shown_px(2.5, 720) == 100


def test_coarse_keeps_the_size() -> None:
    assert coarse(stripes(100, 50, 4), 10).size == (100, 50) and coarse(stripes(100, 50, 4), 1000).size == (100, 50)


def test_what_was_hidden_is_kept_with_the_evidence(world: World, tmp_path: Path) -> None:
    from api.evidence.models import Evidence

    frames = tmp_path / "frames"
    frames.mkdir()
    photo(frames / "a.jpg", portrait(), None)
    paths = {"mosaic": str(mosaic(tmp_path / "after.tif", bright=True, side_px=256)), "frames": str(frames)}
    assert world.call("admin", "POST", "/patrols", json={"id": "P1", "paths": paths}).status_code == 201
    world.file(feature(frames=[{"id": "0" * 64, "file": "a.jpg", "bbox_px": [60, 40, 260, 260]}]))
    case = world.accept("P1/1")["id"]
    assert world.call("officer", "GET", f"/cases/{case}/evidence").status_code == 200
    with world.context.database.read() as session:
        told = {row.file: row.capture.get("hidden") for row in session.query(Evidence).filter_by(kind="derived")}
    assert told["after.jpg"]["rule"] == "mosaic" and told["frame-1-overview.jpg"]["rule"] == "close", told
    assert told["frame-1-overview.jpg"]["faces"] >= 1


def test_tiles_are_of_ones_own_districts(world: World, tmp_path: Path) -> None:
    from api.auth.service import issue_token
    from tests.api.world import square

    paths = {"mosaic": str(mosaic(tmp_path / "after.tif", bright=True, side_px=256))}
    assert world.call("admin", "POST", "/patrols", json={"id": "P1", "paths": paths}).status_code == 201
    with world.context.database.write() as session:
        for district in ("371302", "371311"):
            world.tokens[district] = issue_token(session, "reviewer", name=district, districts=(district,))
    x, y = (int(value) for value in tile_at(LON + 0.0002, LAT + 0.0002, 19))
    address = f"/patrols/P1/tiles/19/{x}/{y}.png"
    assert world.call("371311", "GET", address).status_code == 200, "without a grid nobody knows"
    cells = [
        {"type": "Feature", "properties": {"cell": code}, "geometry": square(5000.0 * i, 0, 400)}
        for i, code in enumerate(["371302006001001", "371311006001001"])
    ]
    body = {"type": "FeatureCollection", "features": cells}
    assert world.call("admin", "PUT", "/grid/cells", json=body).status_code == 200
    assert world.call("371302", "GET", address).status_code == 200
    assert world.call("371311", "GET", address).status_code == 404
    assert world.call("reviewer", "GET", address).status_code == 200


def test_a_tile_is_made_once_and_nothing_is_fetched(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from api.tiles import render

    paths = {
        name: str(mosaic(tmp_path / f"{name}.tif", bright=name == "mosaic", side_px=256))
        for name in ("mosaic", "baseline")
    }
    assert world.call("admin", "POST", "/patrols", json={"id": "P1", "paths": paths}).status_code == 201
    x, y = (int(value) for value in tile_at(LON + 0.0001, LAT + 0.0001, 19))
    address = f"/patrols/P1/tiles/19/{x}/{y}.png"
    first = {layer: world.call("pilot", "GET", f"{address}?layer={layer}").content for layer in ("after", "before")}
    assert first["after"] != first["before"]
    monkeypatch.setattr(render, "tile_png", lambda *_: pytest.fail("made again"))
    assert {layer: world.call("pilot", "GET", f"{address}?layer={layer}").content for layer in first} == first
    assert world.call(None, "GET", address).status_code == 401, "the cache asks for a token, too"
