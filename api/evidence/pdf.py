"""The dossier's pages for people: the form, where it is, before and after, hashes, history."""

from __future__ import annotations

import io
import json
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.platypus import Flowable, Image, PageBreak, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from api.cases.states import STATES

# A font that every reader of Chinese PDFs brings itself; nothing has to be installed on the server.
FONT = "STSong-Light"
_PICTURES = {
    "map": "位置图（本期正射影像，上北）",
    "after": "本期影像",
    "before": "上期影像",
    "frame-1-overview": "照片一：全貌",
    "frame-1-detail": "照片一：细部",
    "frame-2-detail": "照片二：细部",
}
_KINDS = {"original": "原始", "derived": "派生"}
_EVENTS = {
    "case.filed": "上报",
    "case.evidence": "证据归集",
    "case.platform": "平台反馈",
    "case.reinspected": "复查",
    "case.withdrawn": "撤回",
}
_ROWS = (
    ("案卷编号", "number"),
    ("平台编号", "platform_no"),
    ("状态", "state_name"),
    ("案件类别", "family_name"),
    ("代码标准", "code_set"),
    ("小类代码", "code"),
    ("立案条件", "condition"),
    ("位置描述", "address"),
    ("问题描述", "description"),
    ("单元网格", "cell"),
    ("面积（平方米）", "area_m2"),
    ("高度变化（米）", "height_change_m"),
    ("识别概率", "probability"),
    ("审核人", "reviewer"),
)


NOTE = (
    "说明：坐标为 WGS84；时间为北京时间。本卷影像均由原始照片或正射影像派生，按规则对人脸、车牌作不可辨认处理；"
    "原始照片存于证据库，凭职责与事由调阅并留痕。各文件哈希、签名与流转记录的哈希链随卷存放，任何改动均可离线查出。"
)


def _style(size: float, **more: Any) -> ParagraphStyle:
    return ParagraphStyle(f"s{size}", fontName=FONT, fontSize=size, leading=size * 1.5, wordWrap="CJK", **more)


def dossier_pdf(
    form: dict[str, Any],
    events: list[dict[str, Any]],
    evidence: list[dict[str, Any]],
    pictures: dict[str, bytes],
    timezone: str,
) -> bytes:
    """The PDF's bytes."""
    pdfmetrics.registerFont(UnicodeCIDFont(FONT))
    out = io.BytesIO()
    document = SimpleDocTemplate(
        out, pagesize=A4, title=form["number"], leftMargin=18 * mm, rightMargin=18 * mm, topMargin=16 * mm
    )
    story: list[Flowable] = [
        Paragraph("无人机巡查案卷", _style(18, alignment=1, spaceAfter=4 * mm)),
        _form(form, ZoneInfo(timezone)),
        Spacer(1, 4 * mm),
        Paragraph(NOTE, _style(8.5, textColor=colors.HexColor("#55606e"))),
        PageBreak(),
        Paragraph("影像", _style(12, spaceAfter=2 * mm)),
        *_pictures(pictures),
        PageBreak(),
        Paragraph("证据清单（SHA-256）", _style(12, spaceAfter=2 * mm)),
        _table([["名称", "类别", "SHA-256", "源自"], *[_evidence_row(item) for item in evidence]], (34, 14, 98, 28)),
        Spacer(1, 5 * mm),
        Paragraph("流转记录（哈希链）", _style(12, spaceAfter=2 * mm)),
        _table(
            [["序", "时间", "事项", "操作人", "说明", "本条哈希"], *[_event_row(row, timezone) for row in events]],
            (9, 32, 20, 24, 44, 45),
        ),
    ]
    document.build(story, onFirstPage=_foot, onLaterPages=_foot)
    return out.getvalue()


def _local(value: str | None, zone: ZoneInfo) -> str:
    return datetime.fromisoformat(value).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S") if value else "—"


def _form(form: dict[str, Any], zone: ZoneInfo) -> Table:
    rows = [[name, _value(form.get(key))] for name, key in _ROWS]
    rows.append(["坐标（WGS84）", f"{form['lon']:.6f}, {form['lat']:.6f}"])
    rows.append(["上报时间", _local(form["filed_at"], zone)])
    rows.append(["处置时限", _local(form["deadline_at"], zone)])
    return _table(rows, (38, 136))


def _value(value: Any) -> str:
    if value is None or value == "":
        return "—"
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _table(rows: list[list[str]], widths_mm: tuple[int, ...]) -> Table:
    small = _style(8.5)
    # reportlab reads markup; what people wrote is text.
    cells = [[Paragraph(_escape(value), small) for value in row] for row in rows]
    table = Table(cells, colWidths=[width * mm for width in widths_mm])
    line = colors.HexColor("#9aa4b2")
    table.setStyle(TableStyle([("GRID", (0, 0), (-1, -1), 0.4, line), ("VALIGN", (0, 0), (-1, -1), "TOP")]))
    return table


def _escape(value: str) -> str:
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _pictures(pictures: dict[str, bytes]) -> list[Flowable]:
    cells: list[list[Flowable]] = []
    for name, caption in _PICTURES.items():
        data = pictures.get(f"pictures/{name}.jpg")
        if data is not None:
            image = Image(io.BytesIO(data), width=84 * mm, height=70 * mm, kind="proportional")
            cells.append([image, Paragraph(caption, _style(9, alignment=1))])
    if not cells:
        return [Paragraph("本案卷没有归集到影像。", _style(9))]
    pairs = [cells[i : i + 2] + [[]] * (2 - len(cells[i : i + 2])) for i in range(0, len(cells), 2)]
    return [Table(pairs, colWidths=[88 * mm, 88 * mm])]


def _evidence_row(item: dict[str, Any]) -> list[str]:
    name = _PICTURES.get(item["name"], item["name"].replace("original-", "原始照片 "))
    parent = item["parent"][:12] + "…" if item.get("parent") else "—"
    gone = "（已按留存规则删除）" if item.get("deleted") else ""
    return [name + gone, _KINDS.get(item["kind"], item["kind"]), item["sha256"], parent]


def _event_row(row: dict[str, Any], timezone: str) -> list[str]:
    data = json.loads(row["data"])
    parts = [STATES.get(str(data.get("state")), ""), data.get("reason"), data.get("platform_no")]
    if data.get("collected"):
        parts.append(f"归集 {len(data['collected'])} 件")
    if data.get("removed"):
        parts.append(f"按留存规则删除 {len(data['removed'])} 件")
    said = "，".join(str(part) for part in parts if part)
    moment = _local(row["time"], ZoneInfo(timezone))
    return [str(row["chain_n"]), moment, _EVENTS.get(row["type"], row["type"]), row["actor"], said or "—", row["hash"]]


def _foot(canvas: Any, document: Any) -> None:
    """Number and page at the foot of each page."""
    canvas.saveState()
    canvas.setFont(FONT, 8)
    canvas.drawString(18 * mm, 10 * mm, f"{document.title}　本文件随卷附数字签名，可用 yunxun verify 离线核验")
    canvas.drawRightString(A4[0] - 18 * mm, 10 * mm, f"第 {canvas.getPageNumber()} 页")
    canvas.restoreState()
