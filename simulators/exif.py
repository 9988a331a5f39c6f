"""EXIF and XMP as a DJI camera writes them, put into a JPEG without touching its pixels.

Tags: CIPA DC-008 (Exif 2.32). XMP: the drone-dji namespace, with the misspelt GPSLongtitude that aircraft of the
Phantom 4 and Mavic generations carry beside the right one.
"""

from __future__ import annotations

import struct
from datetime import timedelta
from fractions import Fraction

from missions.camera import Camera
from simulators.exposure import Exposure

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, SRATIONAL = 1, 2, 3, 4, 5, 7, 10
Entry = tuple[int, int, int, bytes]
RTK_FLAG = {"none": 0, "3d": 16, "float": 34, "rtk": 50}
CHINA_OFFSET_H = 8


def _ascii(tag: int, text: str) -> Entry:
    data = text.encode("ascii", "replace") + b"\0"
    return tag, ASCII, len(data), data


def _short(tag: int, value: int) -> Entry:
    return tag, SHORT, 1, struct.pack("<H", value)


def _long(tag: int, value: int) -> Entry:
    return tag, LONG, 1, struct.pack("<I", value)


def _rational(tag: int, *values: float) -> Entry:
    data = b""
    for value in values:
        # Both halves of a rational are 32-bit: a large value leaves less room for its denominator.
        room = int((2**32 - 1) / (max(0.0, value) + 1.0))
        fraction = Fraction(max(0.0, value)).limit_denominator(max(1, min(1_000_000, room)))
        data += struct.pack("<II", fraction.numerator, fraction.denominator)
    return tag, RATIONAL, len(values), data


def _ifd(entries: list[Entry], start: int) -> bytes:
    """One image file directory at offset `start`, its long values behind it; no next directory."""
    entries = sorted(entries)
    head = struct.pack("<H", len(entries))
    at = start + 2 + 12 * len(entries) + 4
    tail = b""
    for tag, kind, count, data in entries:
        if len(data) <= 4:
            head += struct.pack("<HHI", tag, kind, count) + data.ljust(4, b"\0")
        else:
            head += struct.pack("<HHII", tag, kind, count, at + len(tail))
            tail += data + (b"\0" if len(data) % 2 else b"")
    return head + struct.pack("<I", 0) + tail


def _dms(degrees: float) -> tuple[float, float, float]:
    # Whole units of 0.0001": rounding must not give 60".
    units = round(abs(degrees) * 36_000_000)
    return units // 36_000_000, units // 600_000 % 60, units % 600_000 / 10_000


def exif_bytes(exposure: Exposure, camera: Camera, *, exposure_s: float = 0.001, iso: int = 100) -> bytes:
    """The APP1 payload (Exif header, then TIFF) of a photograph; positions are the reported ones."""
    local = exposure.time_utc + timedelta(hours=CHINA_OFFSET_H)
    stamp, millis = f"{local:%Y:%m:%d %H:%M:%S}", f"{local.microsecond // 1000:03d}"
    offset = f"+{CHINA_OFFSET_H:02d}:00"
    main = [
        _ascii(0x010E, "default"), _ascii(0x010F, "DJI"), _ascii(0x0110, camera.model), _short(0x0112, 1),
        _rational(0x011A, 72), _rational(0x011B, 72), _short(0x0128, 2), _ascii(0x0131, "v01.00.0000"),
        _ascii(0x0132, stamp), _short(0x0213, 1),
    ]  # fmt: skip
    photo: list[Entry] = [
        _rational(0x829A, exposure_s), _rational(0x829D, 2.8), _short(0x8822, 2), _short(0x8827, iso),
        (0x9000, UNDEFINED, 4, b"0230"), _ascii(0x9003, stamp), _ascii(0x9004, stamp), _ascii(0x9010, offset),
        _ascii(0x9011, offset), _ascii(0x9291, millis), (0x9101, UNDEFINED, 4, b"\x01\x02\x03\x00"), _short(0x9207, 2),
        _rational(0x920A, camera.focal_mm), (0xA000, UNDEFINED, 4, b"0100"), _short(0xA001, 1),
        _long(0xA002, camera.width_px), _long(0xA003, camera.height_px),
        _short(0xA405, round(camera.focal_mm / camera.sensor_width_mm * 36.0)),
    ]  # fmt: skip
    utc = exposure.time_utc
    gps: list[Entry] = [
        (0, BYTE, 4, b"\x02\x03\x00\x00"),
        _ascii(1, "N" if exposure.lat >= 0 else "S"), _rational(2, *_dms(exposure.lat)),
        _ascii(3, "E" if exposure.lon >= 0 else "W"), _rational(4, *_dms(exposure.lon)),
        (5, BYTE, 1, b"\x00" if exposure.alt_amsl_m >= 0 else b"\x01"), _rational(6, abs(exposure.alt_amsl_m)),
        _rational(7, utc.hour, utc.minute, utc.second + utc.microsecond / 1e6),
        _ascii(0x12, "WGS-84"), _ascii(0x1D, f"{utc:%Y:%m:%d}"),
    ]  # fmt: skip
    if exposure.fix == "none":
        gps = gps[:1]
    pointers = [_long(0x8769, 0), _long(0x8825, 0)]
    photo_at = 8 + len(_ifd(main + pointers, 8))
    gps_at = photo_at + len(_ifd(photo, photo_at))
    main += [_long(0x8769, photo_at), _long(0x8825, gps_at)]
    tiff = b"II*\0" + struct.pack("<I", 8) + _ifd(main, 8) + _ifd(photo, photo_at) + _ifd(gps, gps_at)
    return b"Exif\0\0" + tiff


def xmp_bytes(exposure: Exposure, camera: Camera) -> bytes:
    """The XMP APP1 payload of a photograph."""
    speed = (exposure.speed_north_mps, exposure.speed_east_mps)
    rtk = exposure.fix == "rtk"
    values = {
        "AltitudeType": "RtkAlt" if rtk else "GPSFusionAlt",
        "GpsStatus": {"rtk": "RTK", "none": "Invalid"}.get(exposure.fix, "Normal"),
        "AbsoluteAltitude": f"{exposure.alt_amsl_m:+.3f}",
        "RelativeAltitude": f"{exposure.height_rel_m:+.3f}",
        "GimbalRollDegree": f"{exposure.camera_roll_deg:+.2f}",
        "GimbalYawDegree": f"{_half_turn(exposure.camera_yaw_deg):+.2f}",
        "GimbalPitchDegree": f"{exposure.camera_pitch_deg:+.2f}",
        "FlightRollDegree": "+0.00",
        "FlightYawDegree": f"{_half_turn(exposure.camera_yaw_deg):+.2f}",
        "FlightPitchDegree": "+0.00",
        "FlightXSpeed": f"{speed[0]:+.1f}",
        "FlightYSpeed": f"{speed[1]:+.1f}",
        "FlightZSpeed": "+0.0",
        "CamReverse": "0",
        "GimbalReverse": "0",
        "CalibratedFocalLength": f"{camera.focal_px:.6f}",
        "CalibratedOpticalCenterX": f"{camera.width_px / 2:.6f}",
        "CalibratedOpticalCenterY": f"{camera.height_px / 2:.6f}",
        "RtkFlag": str(RTK_FLAG.get(exposure.fix, 16)),
        "UTCAtExposure": f"{exposure.time_utc:%Y-%m-%dT%H:%M:%S.%f}",
    }
    if exposure.fix != "none":
        values["GPSLatitude"] = f"{exposure.lat:.9f}"
        values["GPSLongitude"] = values["GPSLongtitude"] = f"{exposure.lon:.9f}"
    if rtk:
        values["RtkStdLon"] = values["RtkStdLat"] = f"{exposure.std_h_m:.5f}"
        values["RtkStdHgt"] = f"{exposure.std_v_m:.5f}"
    lines = "\n".join(f'   drone-dji:{name}="{value}"' for name, value in values.items())
    body = (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
        ' <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
        '  <rdf:Description rdf:about="DJI Meta Data"\n'
        '    xmlns:tiff="http://ns.adobe.com/tiff/1.0/"\n    xmlns:xmp="http://ns.adobe.com/xap/1.0/"\n'
        '    xmlns:drone-dji="http://www.dji.com/drone-dji/1.0/"\n'
        f'   xmp:CreateDate="{exposure.time_utc:%Y-%m-%d}"\n   tiff:Make="DJI"\n   tiff:Model="{camera.model}"\n'
        f'{lines}>\n  </rdf:Description>\n </rdf:RDF>\n</x:xmpmeta>\n<?xpacket end="w"?>'
    )
    return b"http://ns.adobe.com/xap/1.0/\0" + body.encode("utf-8")


def with_metadata(jpeg: bytes, exposure: Exposure, camera: Camera) -> bytes:
    """A JPEG with its EXIF and XMP segments right after the start marker."""
    out = jpeg[:2]
    for payload in (exif_bytes(exposure, camera), xmp_bytes(exposure, camera)):
        out += b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload
    # The encoder's own JFIF header (APP0) goes: a camera's file has Exif in its place.
    rest = jpeg[2:]
    while rest[:2] == b"\xff\xe0":
        rest = rest[2 + struct.unpack(">H", rest[2:4])[0] :]
    return out + rest


def _half_turn(angle_deg: float) -> float:
    return (angle_deg + 180) % 360 - 180
