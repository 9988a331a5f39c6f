"""Sheets for crews, as PDF: a page each with a map of its sorties."""

from __future__ import annotations

import io
from datetime import timedelta
from pathlib import Path

import numpy as np
from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

from missions.files import write_bytes_atomically
from missions.result import PlannedSortie, PlanResult
from missions.roster import LOCAL

_FONT = "STSong-Light"
_WIDTH, _HEIGHT = A4
_MARGIN = 42.0
_STOPS = [0.0, 45.0, 90.0, 135.0, 215.0, 300.0, 350.0]
_COLOURS = ((0.12, 0.47, 0.71), (0.85, 0.37, 0.01), (0.11, 0.62, 0.47), (0.46, 0.44, 0.70), (0.91, 0.16, 0.54))


class _Page:
    """A canvas with a cursor that runs down the page."""

    def __init__(self) -> None:
        pdfmetrics.registerFont(UnicodeCIDFont(_FONT))
        self.buffer = io.BytesIO()
        self.canvas = Canvas(self.buffer, pagesize=A4)
        self.y = _HEIGHT - _MARGIN

    def line(self, text: str, size: float = 10.0, indent: float = 0.0) -> None:
        if self.y < _MARGIN + size:
            self.turn()
        self.canvas.setFont(_FONT, size)
        self.canvas.setFillColorRGB(0, 0, 0)
        self.y -= size * 1.5
        self.canvas.drawString(_MARGIN + indent, self.y, text)

    def row(self, cells: list[str], stops: list[float]) -> None:
        if self.y < _MARGIN + 14:
            self.turn()
        self.canvas.setFont(_FONT, 9)
        self.canvas.setFillColorRGB(0, 0, 0)
        self.y -= 14
        for cell, stop in zip(cells, stops, strict=True):
            self.canvas.drawString(_MARGIN + stop, self.y, cell)

    def turn(self) -> None:
        self.canvas.showPage()
        self.y = _HEIGHT - _MARGIN

    def save(self, path: Path) -> None:
        self.canvas.save()
        write_bytes_atomically(path, self.buffer.getvalue())


def _clock(sortie: PlannedSortie) -> tuple[str, str]:
    begin = sortie.start_utc + LOCAL
    return f"{begin:%H:%M}", f"{begin + timedelta(seconds=sortie.duration_s):%H:%M}"


def _map(page: _Page, sorties: list[PlannedSortie], size: float = 300.0) -> None:
    """Routes of one crew's sorties in a square, north up, with a scale bar."""
    points = np.concatenate([sortie.route.points for sortie in sorties])
    low, span = points.min(axis=0), float(np.ptp(points, axis=0).max()) or 1.0
    scale = (size - 20) / span
    left, bottom = _MARGIN + (_WIDTH - 2 * _MARGIN - size) / 2, page.y - size - 8
    canvas = page.canvas
    canvas.setStrokeColorRGB(0.6, 0.6, 0.6)
    canvas.rect(left, bottom, size, size)
    for number, sortie in enumerate(sorties):
        canvas.setStrokeColorRGB(*_COLOURS[number % len(_COLOURS)])
        xy = (sortie.route.points - low) * scale + (left + 10, bottom + 10)
        for index in range(len(xy) - 1):
            canvas.setLineWidth(0.9 if sortie.route.shooting[index] else 0.3)
            canvas.line(*xy[index], *xy[index + 1])
        canvas.setFillColorRGB(0, 0, 0)
        canvas.circle(float(xy[0, 0]), float(xy[0, 1]), 2.5, fill=1, stroke=0)
    bar_m = 10 ** np.floor(np.log10(span / 2))
    canvas.setStrokeColorRGB(0, 0, 0)
    canvas.setLineWidth(1.5)
    canvas.line(left + 10, bottom + 6, left + 10 + bar_m * scale, bottom + 6)
    canvas.setFont(_FONT, 8)
    canvas.drawString(left + 14 + bar_m * scale, bottom + 4, f"{bar_m:.0f} m   北 ↑")
    page.y = bottom - 6


def write_crew_sheet(result: PlanResult, path: Path) -> None:
    """Writes a page per crew: who, what, when, where, and a map. Times are local (UTC+8)."""
    page = _Page()
    for crew in sorted({sortie.crew for sortie in result.sorties}):
        sorties = [sortie for sortie in result.sorties if sortie.crew == crew]
        team = sorties[0].rostered
        page.line(f"飞行任务单  {crew}", 16)
        day = f"{sorties[0].start_utc + LOCAL:%Y-%m-%d}"
        page.line(f"巡查编号 {result.plan_id}   日期 {day}   机型 {result.task.profile.title}")
        if team is not None:
            machine = f"{team.machine.aircraft}（登记号 {team.machine.registration or '未填'}）"
            page.line(f"飞手 {team.pilot}   观察员 {team.observer or '无'}   航空器 {machine}")
        page.line(f"飞行高度 离地 {sorties[0].strip.height_agl_m:.0f} m   返航与失联：沿返航点返航")
        _map(page, sorties)
        page.row(["架次", "起飞", "降落", "经度", "纬度", "照片", "电量 Wh"], _STOPS)
        for sortie in sorties:
            begin, end = _clock(sortie)
            lon, lat = sortie.home[:2]
            cells = [sortie.short_id, begin, end, f"{lon:.6f}", f"{lat:.6f}", str(sortie.route.photos)]
            page.row([*cells, f"{sortie.energy_wh:.0f}"], _STOPS)
        for sortie in (sortie for sortie in sorties if sortie.transit_agl_m is not None):
            page.line(f"{sortie.short_id} 往返航段离地 {sortie.transit_agl_m:.1f} m，与其他机组错层，不得更改", 9)
        page.line("起飞前：桨叶、电池、卡、指南针、返航高度、禁飞区更新、人员清场      签名：", 9)
        page.turn()
    page.save(path)
