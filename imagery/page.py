"""`mosaic.html`: the report on one page that opens anywhere, no script, no network; a bureau reads it in Chinese."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from imagery.report import MosaicReport
from imagery.seams import Labels
from imagery.wording import in_chinese

_STYLE = """
body{font:15px/1.6 "Noto Sans CJK SC","Microsoft YaHei",sans-serif;color:#1c2733}
body{max-width:1080px;margin:24px auto;padding:0 16px}
h1{font-size:22px;margin:0 0 4px}h2{font-size:16px;margin:28px 0 8px;border-bottom:1px solid #d5dde5;padding-bottom:4px}
table{border-collapse:collapse;width:100%}
td,th{padding:4px 10px;border-bottom:1px solid #e7ecf1;text-align:left;font-weight:normal}
th{color:#5a6b7b}td.n{text-align:right;font-variant-numeric:tabular-nums}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:10px;margin:14px 0}
.card{background:#f3f6f9;border-radius:6px;padding:10px 12px}.card b{display:block;font-size:22px;font-weight:600}
.card span{color:#5a6b7b;font-size:13px}.maps{display:grid;grid-template-columns:1fr 1fr;gap:16px}
img,svg{width:100%;background:#f3f6f9;border-radius:6px}.warn{color:#a33c00}
"""
_COLOURS = {"matched": "#1769aa", "neighbour": "#d98200", "gps": "#c62828"}
_PLACED = {"matched": "匹配成功", "neighbour": "连接点不足，按相邻照片放置", "gps": "无匹配，仅按 GPS 放置"}


def page(report: MosaicReport, labels: Labels, name: str) -> str:
    """The page as HTML text.

    Args:
        report: What `mosaic.json` says.
        labels: For the overlap map.
        name: Of the mosaic.
    """
    more: Mapping[str, Any] = report.model_extra or {}
    parts = [
        f"<!doctype html><html lang=zh><meta charset=utf-8><title>{escape(name)} 质量报告</title>",
        f"<style>{_STYLE}</style><h1>正射影像质量报告</h1><div>{escape(name)}</div>",
        _cards(report, more),
        _warnings(more.get("warnings_zh") or ()),
        '<h2>照片位置与重叠度</h2><div class="maps">',
        _positions(report),
        _overlap(labels),
        "</div>",
        _set_aside(report),
        _registration(more.get("registration")),
        _marks("控制点", more.get("gcp") or ()),
        _marks("检查点", more.get("check") or ()),
        _flights(more.get("flights") or ()),
        _stages(more.get("stages") or {}),
    ]
    return "".join(parts)


def _warnings(warnings: Sequence[str]) -> str:
    if not warnings:
        return ""
    return '<h2>使用前须知</h2><ul class="warn">' + "".join(f"<li>{escape(text)}</li>" for text in warnings) + "</ul>"


def _cards(report: MosaicReport, more: Mapping[str, Any]) -> str:
    lean = more.get("lean_p95")
    smooth = more.get("colour_smooth")
    values = [
        (f"{report.frames_matched}/{report.frames_total}", "匹配成功的照片"),
        (f"{report.gsd_m * 100:.1f} 厘米", "地面分辨率"),
        (_number(report.tie_rms_px, 2, " 像素"), "连接点中误差（未参与平差的连接点）"),
        (_number(report.gps_rms_m, 2, " 米"), "定位残差（平面）"),
        (_number(report.gcp_rms_m, 3, " 米"), "控制点残差"),
        (_number(report.check_rms_m, 3, " 米"), "检查点误差"),
        (_number(more.get("colour_overlap"), 1, "/255"), "相邻照片重叠区平均色差（匀色后，中位数）"),
        (
            _number(more.get("colour_residual"), 1, "/255"),
            "逐点色差（含视差、植被）" + ("" if smooth is None else f"，其中整片 {smooth:.1f}"),
        ),
        (_number(None if lean is None else 10 * lean, 1, " 米"), "10 米高建筑的顶部偏移（95% 不超过）"),
        (f"{report.cpu_s:.0f} 秒", "处理器用时"),
        (f"{report.peak_mb:.0f} MB", "内存峰值"),
    ]
    # What was not given is not shown: a dash says nothing.
    values = [(value, text) for value, text in values if value != "—"]
    return (
        '<div class="cards">'
        + "".join(f'<div class="card"><b>{v}</b><span>{t}</span></div>' for v, t in values)
        + "</div>"
    )


def _number(value: float | None, digits: int, unit: str) -> str:
    return "—" if value is None or not np.isfinite(value) else f"{value:.{digits}f}{unit}"


def _positions(report: MosaicReport) -> str:
    """Ground points of image centres, coloured by how the frame was placed."""
    places = [camera for camera in report.cameras if np.isfinite(camera.lon)]
    if not places:
        return "<div>本成果没有地理坐标，无法标出照片位置。</div>"
    lon, lat = np.array([c.lon for c in places]), np.array([c.lat for c in places])
    x = (lon - lon.mean()) * np.cos(np.radians(lat.mean()))
    y = lat - lat.mean()
    half = max(float(np.abs(x).max()), float(np.abs(y).max()), 1e-7) * 1.1
    dots = "".join(
        f'<circle cx="{200 + 190 * px / half:.1f}" cy="{200 - 190 * py / half:.1f}" r="3" '
        f'fill="{_COLOURS[camera.placed]}"><title>{escape(camera.file)} {_PLACED[camera.placed]}</title></circle>'
        for px, py, camera in zip(x, y, places, strict=True)
    )
    used = [key for key in _PLACED if any(camera.placed == key for camera in places)]
    legend = "　".join(f'<span style="color:{_COLOURS[key]}">●</span> {_PLACED[key]}' for key in used)
    return f'<div><svg viewBox="0 0 400 400">{dots}</svg><div>照片中心位置，上北下南：{legend}</div></div>'


def _overlap(labels: Labels) -> str:
    seen = labels.seen
    factor = max(1, max(seen.shape) // 500)
    small = seen[::factor, ::factor]
    table = np.array([[249, 246, 243], [60, 60, 214], [80, 150, 245], [110, 205, 245], [140, 215, 170], [110, 180, 70]])
    image: NDArray[np.uint8] = table[np.minimum(small, 5)].astype(np.uint8)
    data = base64.b64encode(cv2.imencode(".png", image)[1].tobytes()).decode()
    covered = max(1, int((seen > 0).sum()))
    twice, thrice = (100.0 * (seen >= k).sum() / covered for k in (2, 3))
    text = f"重叠度：两张以上 {twice:.0f}%，三张以上 {thrice:.0f}%（红 1 张，橙 2，黄 3，浅绿 4，绿 5 张及以上）"
    return f'<div><img alt="重叠度" src="data:image/png;base64,{data}"><div>{text}</div></div>'


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    if not rows:
        return ""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<h2>{title}</h2><table><tr>{top}</tr>{body}</table>"


def _set_aside(report: MosaicReport) -> str:
    alone = [(camera.file, _PLACED[camera.placed]) for camera in report.cameras if camera.placed != "matched"]
    aside = [(item.file, in_chinese(item.why)) for item in report.frames_set_aside]
    return _table("未采用的照片", ("文件", "原因"), aside) + _table(
        "未能匹配、另行放置的照片", ("文件", "放置方式"), alone
    )


def _registration(registration: Mapping[str, Any] | None) -> str:
    if not registration:
        return ""
    east, north = registration["shift_m"]
    rows = [
        ("参与配准的照片", registration["frames"]),
        ("连接点", registration["ties"]),
        ("残差中位数 / 95% 分位", f"{registration['median_px']:.2f} / {registration['p95_px']:.2f} 像素"),
        ("相对本次 GPS 的平移", f"东 {east:+.2f} 米，北 {north:+.2f} 米"),
    ]
    field = [
        (f"{x:.0f}, {y:.0f}", f"{dx:+.3f}", f"{dy:+.3f}", count)
        for x, y, dx, dy, count in registration.get("field", ())
    ]
    return _table("与往期影像的配准", ("项目", "数值"), rows) + _table(
        "配准残差场", ("位置（东、北坐标）", "东（米）", "北（米）", "点数"), field
    )


def _marks(title: str, marks: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            mark["name"],
            f"{mark['east_m']:+.3f}",
            f"{mark['north_m']:+.3f}",
            "—" if mark["up_m"] is None else f"{mark['up_m']:+.3f}",
            f"{mark['error_px']:.1f}",
            mark["photos"],
        )
        for mark in marks
    ]
    return _table(title, ("点名", "东（米）", "北（米）", "高（米）", "像方误差（像素）", "照片数"), rows)


def _flights(flights: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            f["name"],
            f["frames"],
            f"{f['bias_m'][0]:+.2f}, {f['bias_m'][1]:+.2f}, {f['bias_m'][2]:+.2f}",
            f"{f['gps_rms_m']:.2f}",
        )
        for f in flights
    ]
    return _table("各架次定位的系统偏差", ("架次", "照片数", "偏差：东、北、高（米）", "平面残差（米）"), rows)


_STAGES = {
    "preview": "快速预览", "features": "特征提取", "poses": "匹配与平差", "baseline": "与往期影像配准",
    "heights": "高程", "seams": "匀色与拼接线", "mosaic": "镶嵌输出",
}  # fmt: skip


def _stages(stages: Mapping[str, Mapping[str, float]]) -> str:
    rows = [
        (_STAGES.get(name, name), f"{s['cpu_s']:.1f}", f"{s['wall_s']:.1f}", f"{s['peak_mb']:.0f}")
        for name, s in stages.items()
    ]
    return _table("各阶段用时与内存", ("阶段", "处理器用时（秒）", "历时（秒）", "内存峰值（MB）"), rows)
