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


@pytest.mark.parametrize(("english", "kept"), REASONS)
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
