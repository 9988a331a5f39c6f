"""The application for flights as PDF: the particulars of order 761, art. 27, in the order in which it lists them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from reportlab.graphics.shapes import Circle, Drawing, Polygon, PolyLine, String
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from missions.application import Application, Flight
from missions.files import write_bytes_atomically
from missions.frame import LocalFrame
from missions.roster import LOCAL
from missions.rules import Check, apply_by_utc

_FONT = "STSong-Light"
_MARGIN = 48.0
_WIDE = "\u3000"
_WIDTH = A4[0] - 2 * _MARGIN
_TITLE = ParagraphStyle("title", fontName=_FONT, fontSize=17, leading=26, alignment=1, wordWrap="CJK")
_HEAD = ParagraphStyle("head", fontName=_FONT, fontSize=11.5, leading=20, wordWrap="CJK", keepWithNext=1)
_TEXT = ParagraphStyle("text", fontName=_FONT, fontSize=9.5, leading=14, wordWrap="CJK")
_CLASSES = {"micro": "微型", "light": "轻型", "small": "小型", "medium": "中型", "large": "大型"}
_GRADES = {"ok": "符合", "warn": "待补充", "block": "不符合"}
_RULES = {
    "approval": ("飞行活动批准", "本表即为申请；起飞前 1 小时报告并取得确认", "申请时限已过，改期或按紧急任务办理"),
    "certificate": ("运营合格证", "填写证书有效期", "证书已过期，续期后方可飞行"),
    "insurance": ("责任保险", "填写保险有效期", "保险已过期，续保后方可飞行"),
    "registration": ("实名登记", "填写航空器登记编号", "有航空器未登记，登记并激活后方可飞行"),
    "licences": ("操控人员资质", "核对操控人员执照及管制空域培训", "操控人员资质不足，更换人员"),
    "run-time identification": ("运行识别", "确认广播式与网络式识别均正常工作", "运行识别不可用，不得起飞"),
    "geofence update": ("电子围栏", "起飞前更新航空器电子围栏数据", "电子围栏未更新"),
    "night lights": ("夜航灯光", "有架次在日落后或日出前，须开启灯光", "有架次在日落后或日出前，航空器无灯光"),
    "wind": ("风", "关注风速变化", "风速超过机型限制"),
}  # fmt: skip


def _clock(time_utc: datetime) -> str:
    return f"{time_utc + LOCAL:%Y年%m月%d日 %H:%M}"


def _degrees(value: float) -> str:
    seconds = round(abs(value) * 3600, 1)
    return f"{int(seconds // 3600)}度{int(seconds % 3600 // 60):02d}分{seconds % 60:04.1f}秒"


def _place(lon: float, lat: float) -> str:
    return f"{'东经' if lon >= 0 else '西经'}{_degrees(lon)}，{'北纬' if lat >= 0 else '南纬'}{_degrees(lat)}"


def _homes(flights: Sequence[Flight]) -> str:
    """Take-off places, each with the sorties that leave from it."""
    found: dict[str, list[str]] = {}
    for flight in flights:
        found.setdefault(_place(*flight.home), []).append(flight.short_id)
    shown = [f"{place}（{'、'.join(names[:4])}{' 等' if len(names) > 4 else ''}）" for place, names in found.items()]
    more = f"；其余 {len(shown) - 12} 处见所附架次表" if len(shown) > 12 else ""
    return "；".join(shown[:12]) + more + "。降落场地同起飞场地，备降于航线下方空旷无人处。"


def _people(one: Application) -> str:
    who = [
        f"{team.crew} {team.pilot}（{team.machine}，登记号 {team.registration or '待填'}）" for team in one.people[:24]
    ]
    return "；".join(who) if who else "（填写操控人员姓名、身份证件及执照编号）"


def _farthest_m(flights: Sequence[Flight]) -> float:
    """How far from its home any of them goes."""
    away = [LocalFrame(*flight.home).to_xy(flight.places) for flight in flights]
    return max(float(np.hypot(*places.T).max()) for places in away)


def _particulars(one: Application) -> list[tuple[str, str]]:
    """The particulars that art. 27 asks for, in its order."""
    profile, held = one.profile, one.operation
    certificate = f"运营合格证 {held.operator_certificate}" if held.operator_certificate else "运营合格证编号（填写）"
    count = len({flight.crew for flight in one.flights})
    corners = "\n".join(f"{number}) {_place(*corner)}" for number, corner in enumerate(one.outline(), start=1))
    avoided = f"，航线不进入其中的{'、'.join(one.avoided)}" if one.avoided else ""
    relay = "，经移动通信网络传输" if held.over_base_stations else ""
    return [
        ("申请单位及资质", f"{held.operator or '（填写单位全称）'}；{certificate}"),
        ("操控人员", _people(one)),
        (
            "航空器类型、数量、性能",
            f"{profile.title}，{_CLASSES[profile.uas_class]}无人驾驶航空器，{count} 架；"
            f"最大起飞质量 {profile.max_takeoff_mass_kg:g} kg，巡航速度 {profile.cruise_mps:g} m/s，"
            f"抗风 {profile.max_wind_mps:g} m/s",
        ),
        (
            "任务性质、飞行方式",
            f"城市管理巡查航空摄影；预编程航线自动飞行，飞手可随时接管；距起飞点最远 {_farthest_m(one.flights):.0f} 米",
        ),
        ("起飞、降落和备降场地", _homes(one.flights)),
        ("通信联络方法", held.contact or "（填写现场负责人姓名、移动电话）"),
        ("预计开始、结束时刻", f"{_clock(one.begin_utc)} 至 {_clock(one.end_utc)}，共 {len(one.flights)} 架次"),
        (
            "航线、高度、速度和空域范围",
            f"真高 {one.top_agl_m:.0f} m 以下，速度不大于 {profile.cruise_mps:g} m/s，航线见附图；"
            f"于起降场地垂直进出空域。空域为下列各点依次连线范围（WGS84）{avoided}：\n{corners}",
        ),
        ("指挥控制链路", f"机型配套遥控链路{relay}；频率及占用带宽以机型核准证为准"),
        ("通信、导航和被监视能力", "卫星导航定位；运行识别信息广播式及网络式报送（GB 46750）"),
        ("应急处置程序", _emergency(held.over_crowds)),
        ("特殊保障需求", "无" if not held.drops else "涉及投放或载运危险物品，另附方案"),
    ]  # fmt: skip


def _emergency(crowds: bool) -> str:
    said = "链路中断或电量不足时自动返航至起飞点；遇有人驾驶航空器立即下降避让；失控时报告空中交通管理机构和公安机关"
    return said + ("；飞越聚集人群上方，现场设专人疏导" if crowds else "")


def _table(rows: Sequence[Sequence[str]], widths: Sequence[float], *, headed: bool = False) -> Table:
    cells = [[Paragraph(escape(text).replace("\n", "<br/>"), _TEXT) for text in row] for row in rows]
    table = Table(cells, colWidths=[width * _WIDTH for width in widths], repeatRows=int(headed))
    shaded = ("BACKGROUND", (0, 0), (-1, 0) if headed else (0, -1), colors.Color(0.94, 0.95, 0.97))
    lines = ("GRID", (0, 0), (-1, -1), 0.5, colors.Color(0.45, 0.45, 0.45))
    table.setStyle(TableStyle([lines, shaded, ("VALIGN", (0, 0), (-1, -1), "MIDDLE")]))
    return table


def _sketch(one: Application, highest: float = 250.0) -> Drawing:
    """The airspace asked for, the ways and the take-off places, north up, with a scale."""
    corners = np.array(one.outline())
    frame = LocalFrame(float(corners[:, 0].mean()), float(corners[:, 1].mean()))
    outline = frame.to_xy(corners)
    low, span = outline.min(axis=0), np.ptp(outline, axis=0)
    scale = min((_WIDTH - 40) / span[0], (highest - 40) / span[1])
    height = float(span[1] * scale + 40)
    shift = np.array([(_WIDTH - span[0] * scale) / 2, 25.0])

    def at(places: np.ndarray) -> list[float]:
        return [float(value) for value in ((frame.to_xy(places) - low) * scale + shift).ravel()]

    drawing = Drawing(_WIDTH, height)
    drawing.add(Polygon(at(corners), fillColor=colors.Color(0.9, 0.94, 1.0), strokeColor=colors.red, strokeWidth=1))
    for flight in one.flights:
        drawing.add(PolyLine(at(flight.places), strokeColor=colors.Color(0.1, 0.35, 0.7), strokeWidth=0.4))
        x, y = at(np.array([flight.home]))
        drawing.add(Circle(x, y, 2.2, fillColor=colors.black, strokeColor=None))
    for number, (x, y) in enumerate(np.array(at(corners)).reshape(-1, 2), start=1):
        drawing.add(String(x + 3, y + 2, str(number), fontName=_FONT, fontSize=8))
    bar_m = float(10 ** np.floor(np.log10(max(span) / 2)))
    drawing.add(PolyLine([4, 4, 4 + bar_m * scale, 4], strokeWidth=1.5))
    drawing.add(
        String(
            8 + bar_m * scale, 2, f"{bar_m:.0f} m，上方为北；黑点为起降点，红线内为申请空域", fontName=_FONT, fontSize=8
        )
    )
    return drawing


def _flights(flights: Sequence[Flight]) -> list[list[str]]:
    rows = [["架次", "机组", "起飞", "降落", "真高上限", "起降点"]]
    for flight in flights:
        begin, end = (f"{at + LOCAL:%m-%d %H:%M}" for at in (flight.begin_utc, flight.end_utc))
        rows.append([flight.short_id, flight.crew, begin, end, f"{flight.top_agl_m:.0f} m", _place(*flight.home)])
    return rows


def _judged(checks: Sequence[Check]) -> list[list[str]]:
    rows = [["项目", "依据", "结论", "处理"]]
    for check in checks:
        name, warned, blocked = _RULES.get(check.name, (check.name, check.detail, check.detail))
        remedy = {"ok": "—", "warn": warned, "block": blocked}[check.grade]
        article = (
            check.article.replace("761 art.", "条例第")
            .replace("CCAR ", "CCAR-")
            .replace("Shandong 371 art.", "省政府令 371 号第")
        )
        rows.append([name, _articles(article), _GRADES[check.grade], remedy])
    return rows


def _articles(text: str) -> str:
    """`条例第 10; CCAR-92.211` as it is written: 条例第10条；CCAR-92.211."""
    parts = []
    for part in text.split(";"):
        said = part.strip()
        if "第 " in said:
            law, _, numbers = said.partition("第 ")
            said = f"{law}第{numbers.replace(', ', '、')}条"
        parts.append(said)
    return "；".join(parts)


def _due(one: Application) -> str:
    return (
        f"申请时限：拟飞行前 1 日 12 时前，即 {_clock(apply_by_utc(one.begin_utc))} 前提出；"
        "已过时限的，改日飞行，或按紧急任务的规定提出。经批准后，起飞 1 小时前报告计划起飞时刻并取得确认。"
    )


def write_application(one: Application, path: Path) -> None:
    """Writes an application as PDF, whole or not at all: particulars, why it is filed, sketch, sorties, own checks."""
    pdfmetrics.registerFont(UnicodeCIDFont(_FONT))
    story: list[Flowable] = [Paragraph("无人驾驶航空器飞行活动申请表", _TITLE)]
    if one.reasons:
        story += [Paragraph("变更事由（在已批准的飞行活动之外，现补充申请）", _HEAD)]
        story += [Paragraph(escape(f"{number}. {text}"), _TEXT) for number, text in enumerate(one.reasons, start=1)]
        story.append(Spacer(1, 6))
    numbered = [(f"{number}. {name}", text) for number, (name, text) in enumerate(_particulars(one), start=1)]
    story += [_table(numbered, (0.24, 0.76)), Spacer(1, 4), Paragraph(_due(one), _TEXT)]
    story += [Paragraph(f"附图{_WIDE}申请空域与航线", _HEAD), _sketch(one)]
    widths = (0.1, 0.1, 0.16, 0.16, 0.12, 0.36)
    story += [Paragraph(f"附表一{_WIDE}架次", _HEAD), _table(_flights(one.flights), widths, headed=True)]
    if one.checks:
        checks = _table(_judged(one.checks), (0.18, 0.32, 0.12, 0.38), headed=True)
        story += [Spacer(1, 8), Paragraph(f"附表二{_WIDE}自查", _HEAD), checks]
    story += [Spacer(1, 18), Paragraph(f"申请人（签章）：{_WIDE * 14}年{_WIDE * 3}月{_WIDE * 3}日", _TEXT)]
    buffer = io.BytesIO()
    document = SimpleDocTemplate(
        buffer, pagesize=A4, title="无人驾驶航空器飞行活动申请表", subject=one.plan_id,
        leftMargin=_MARGIN, rightMargin=_MARGIN, topMargin=_MARGIN, bottomMargin=_MARGIN,
    )  # fmt: skip
    document.build(story)
    write_bytes_atomically(path, buffer.getvalue())
