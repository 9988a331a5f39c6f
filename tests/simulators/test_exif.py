import io
import re
from datetime import UTC, datetime

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from missions.camera import Camera
from simulators.exif import with_metadata
from simulators.exposure import Exposure

CAMERA = Camera(model="M3E", width_px=64, height_px=48, focal_mm=12.29, sensor_width_mm=17.3)
JPEG = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()


def exposure(**changes: object) -> Exposure:
    values: dict[str, object] = {
        "index": 1, "file": "DJI_0001.JPG", "time_utc": datetime(2026, 5, 1, 20, 0, 1, 250000, tzinfo=UTC),
        "system_id": 1, "true_lon": 118.0, "true_lat": 35.0, "true_alt_amsl_m": 160.0, "camera_roll_deg": 0.0,
        "camera_pitch_deg": -90.0, "camera_yaw_deg": 270.0, "lon": 118.35, "lat": 35.05, "alt_amsl_m": 161.5,
        "height_rel_m": 99.8,
    }  # fmt: skip
    return Exposure.model_validate({**values, **changes})


def _degrees(dms: tuple[float, float, float]) -> float:
    return float(dms[0]) + float(dms[1]) / 60 + float(dms[2]) / 3600


@settings(max_examples=60, deadline=None)
@given(st.floats(-180, 180), st.floats(-85, 85), st.floats(-50, 5000))
def test_position_comes_back_as_reported(lon: float, lat: float, alt: float) -> None:
    data = with_metadata(JPEG, exposure(lon=lon, lat=lat, alt_amsl_m=alt), CAMERA)
    gps = Image.open(io.BytesIO(data)).getexif().get_ifd(0x8825)
    assert _degrees(gps[2]) * (1 if gps[1] == "N" else -1) == pytest.approx(lat, abs=1e-7)
    assert _degrees(gps[4]) * (1 if gps[3] == "E" else -1) == pytest.approx(lon, abs=1e-7)
    assert float(gps[6]) * (1 if gps[5] == b"\0" else -1) == pytest.approx(alt, abs=1e-3)


def test_camera_time_and_xmp_are_a_djis() -> None:
    data = with_metadata(JPEG, exposure(fix="rtk", std_h_m=0.012, std_v_m=0.02), CAMERA)
    image = Image.open(io.BytesIO(data))
    assert image.size == (64, 48)
    exif = image.getexif()
    photo = exif.get_ifd(0x8769)
    assert (exif[0x010F], exif[0x0110]) == ("DJI", "M3E")
    assert (photo[0x9003], photo[0x9011], photo[0x9291]) == ("2026:05:02 04:00:01", "+08:00", "250")
    assert float(photo[0x920A]) == pytest.approx(12.29)
    assert photo[0xA405] == round(12.29 / 17.3 * 36)
    xmp = data.decode("latin1")
    found = dict(re.findall(r'drone-dji:(\w+)="([^"]*)"', xmp))
    assert found["RelativeAltitude"] == "+99.800"
    assert found["GimbalPitchDegree"] == "-90.00"
    assert found["GimbalYawDegree"] == "-90.00"
    assert float(found["GPSLongtitude"]) == float(found["GPSLongitude"]) == 118.35
    assert (found["RtkFlag"], found["RtkStdLon"], found["GpsStatus"]) == ("50", "0.01200", "RTK")
    assert b"JFIF" not in data[:20]


def test_no_fix_carries_no_position() -> None:
    data = with_metadata(JPEG, exposure(fix="none"), CAMERA)
    assert 2 not in Image.open(io.BytesIO(data)).getexif().get_ifd(0x8825)
    assert b"GPSLongtitude" not in data
