"""Every reason that the stitcher can give has Chinese words on the page."""

from __future__ import annotations

import re

import pytest

from imagery.index import FROZEN
from imagery.wording import in_chinese

REASONS = [
    ("not an image that can be read", ()),
    ("truncated: the JPEG data end before the end-of-image mark", ()),
    ("the same bytes as DJI_0001.JPG", ("DJI_0001.JPG",)),
    ("does not decode: the image data are damaged", ()),
    ("no position in EXIF, XMP or a capture log, while the other photographs have one", ()),
    ("impossible position: latitude 114.2500, longitude 35.0200 (swapped?)", ("114.2500", "35.0200")),
    (FROZEN, ()),
    ("no position, and it matches no other photograph", ()),
    ("no position, and it matches only photographs that do not match the main block", ()),
    ("30.1 km from every photograph that matches another: a wrong position, or another place", ("30.1",)),
    ("[Errno 13] Permission denied: 'a.jpg'", ()),
    ("[Errno 5] Input/output error", ()),
    ("GCP3 in IMG_7.JPG: 41 px beside where others see it", ("GCP3", "IMG_7.JPG", "41")),
    ("GCP3: its photographs see it 88 px apart", ("GCP3", "88")),
    ("GCP3: 4.2 m from where the other marks put it", ("GCP3", "4.2")),
]


REFUSALS = [
    ("no frames folder at /a/b: give the folder that holds the photographs", ("/a/b",)),
    ("no photographs (*.jpg) in /a/b: expected at least two; is it the right folder?", ("/a/b", "*.jpg")),
    ("none of the photographs in /a/b can be used: x.jpg: truncated", ("/a/b",)),
    ("none of 5 photographs has a position (EXIF, XMP or capture log) and no two of them match: nothing says", ("5",)),
    ("the positions contradict the photographs: they miss by 40 m where they spread over 90 m; check", ()),
    ("the positions contradict the photographs: 9 of 12 match each other, but only 2 where their positions", ()),
    ("the photographs fit together to 3.6 px only, and none has a position: not a map of the ground; give", ("3.6",)),
    ("the photographs fit together to 7.5 px only, leaning 28 degrees: oblique views cannot be", ("7.5", "28")),
    ("the photographs have no positions and hang together in a chain whose scale slides 60 times from one", ("60",)),
    ("the baseline does not match: 1 of 8 frames found 12 common features, expected at least 40", ("8", "1", "12")),
    ("no baseline at /a/mosaic.tif: give an earlier mosaic.tif or its folder", ("/a/mosaic.tif", "mosaic.tif")),
    ("the photographs' positions span 30 km x 2 km at 3.0 cm: two places on one card, or a wrong", ("30", "2")),
    ("2 ground control marks are seen by photographs of the block: at least 3 are needed to place it", ("2",)),
]


@pytest.mark.parametrize(("english", "kept"), [*REASONS, *REFUSALS])
def test_reasons_are_told_in_chinese_with_their_names_and_numbers(english: str, kept: tuple[str, ...]) -> None:
    chinese = in_chinese(english)
    assert re.search(r"[\u4e00-\u9fff]", chinese)
    assert all(part in chinese for part in kept)
    rest = chinese
    for part in kept:
        rest = rest.replace(part, "")
    assert set(re.findall(r"[A-Za-z]{2,}", rest)) <= {"JPEG"}


def test_what_is_not_known_is_passed_on() -> None:
    assert in_chinese("something new") == "something new"
