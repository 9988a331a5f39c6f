"""Real photographs against another program's map of the same place."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from rasterio.vrt import WarpedVRT
from rio_cogeo.cogeo import cog_validate

from imagery.stitch import StitchOptions, stitch

DATA = Path(__file__).parents[2].parent / "shared" / "data"
REFERENCE = DATA / "ortho" / "nodeodm_brighton_50cm.tif"


@pytest.mark.slow
@pytest.mark.skipif(not REFERENCE.is_file(), reason="no ../shared/data here")
def test_brighton_lies_within_three_metres_of_another_programs_map(tmp_path: Path) -> None:
    out = tmp_path / "mosaic.tif"
    # A tenth of a metre is fine enough beside the reference's half, and spares most of the mosaic's cost.
    report = stitch(DATA / "brighton_beach", out, StitchOptions(gsd_m=0.1))
    assert report.frames_matched == report.frames_total == 18
    assert cog_validate(str(out))[0]

    with rasterio.open(REFERENCE) as reference, rasterio.open(out) as ours:
        theirs = reference.read((1, 2, 3))
        grid = {"crs": reference.crs, "transform": reference.transform}
        with WarpedVRT(ours, **grid, width=reference.width, height=reference.height, add_alpha=False) as warped:
            mine, seen = warped.read((1, 2, 3)), warped.dataset_mask() > 0
        pixel_m = abs(reference.transform.a)
    valid = (theirs.min(0) < 255) & (theirs.max(0) > 0)
    assert (seen & valid).sum() / valid.sum() >= 0.95

    a, b = (cv2.cvtColor(np.moveaxis(image, 0, -1).copy(), cv2.COLOR_RGB2GRAY) for image in (theirs, mine))
    half, reach = 12, 10
    offsets = []
    for y in range(half + reach, a.shape[0] - half - reach, 8):
        for x in range(half + reach, a.shape[1] - half - reach, 8):
            patch = a[y - half : y + half, x - half : x + half]
            window = (slice(y - half - reach, y + half + reach), slice(x - half - reach, x + half + reach))
            if not (valid & seen)[window].all() or patch.std() < 8:
                continue
            score = cv2.matchTemplate(b[window], patch, cv2.TM_CCOEFF_NORMED)
            _, best, _, (dx, dy) = cv2.minMaxLoc(score)
            if best > 0.7:
                offsets.append(np.hypot(dx - reach, dy - reach) * pixel_m)
    assert len(offsets) >= 50
    assert np.percentile(offsets, 95) <= 3.0, sorted(offsets)[-10:]
