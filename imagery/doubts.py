"""What a user must know before trusting a mosaic, each in one line: English for `mosaic.json`, Chinese for the page."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imagery.bundle import camera_points
from imagery.errors import ImageryError
from imagery.index import Index
from imagery.neighbours import connected
from imagery.shutter import ShutterTrace
from imagery.solve import Solution
from imagery.wording import in_chinese

# A mosaic that leans on less than this share of matched frames says so loudly.
FEW_MATCHED = 0.5
# Ties of a sound block stay below 1.5 px; beyond this lines break visibly at seams.
POOR_TIES_PX = 3.0
# A position this far (m, and in sigmas of its flight) from where the photographs put the frame is wrong.
WRONG_GPS_M = 10.0
WRONG_GPS_TIMES = 6.0
# Camera places that lie this near together (share of the height) tell no heights and hardly any scale.
ONE_SPOT_SHARE = 0.05
# Without gimbal angles every photograph starts out looking down; a block that then ends up leaning like this, and does
# not fit, never was one (a kite's views of the horizon fitted to 7.5 px, leaning 28 degrees).
TILTED_DEG = 20.0
# A barometer's heights are good to a metre or two; a block whose cameras climb by more against them leans as a whole
# (views of 40 degrees without angles came out at 10, the cameras on a slope of 23 m, fitting to 0.2 px).
LEANING_M, LEANING_SHARE, BAROMETER_M = 4.0, 0.05, 2.0
SHUTTER_PX, SHUTTER_EXPLAINS = 1.0, 0.1
# Without positions: cameras of which the highest tenth stand this many times as high over what they see as the lowest
# are no flight but a chain whose scale slid away (a vessel's 72 views of the sea floor: 100 times).
SLID_SCALE = 8.0
NAMED = 6


@dataclass(frozen=True)
class Doubt:
    """One warning, twice."""

    english: str
    chinese: str


@dataclass(frozen=True)
class Marks:
    """What came of the ground control.

    Attributes:
        pixel_scale: What its pixels were multiplied by.
        left_out: What was not believed, and why.
        precision_m: How well it fits the block's own shape.
    """

    pixel_scale: float = 1.0
    left_out: tuple[str, ...] = ()
    precision_m: float | None = None


def doubts(index: Index, solution: Solution, marks: Marks, shutter: ShutterTrace | None, gsd_m: float) -> list[Doubt]:
    """All that applies, the gravest first."""
    matched = np.array([how == "matched" for how in solution.placed])
    return [
        *_distrust(index, solution),
        *_place(index, solution, matched),
        *_fit(solution, shutter),
        *_tilt(index, solution, matched),
        *_groups(index, solution, matched),
        *_positions(index, solution, matched),
        *_marks(marks, gsd_m),
    ]


def refuse_nonsense(index: Index, solution: Solution, controlled: bool) -> None:
    """Refuses what would only look like a map.

    Args:
        index: The frames.
        solution: Their poses.
        controlled: Whether ground control will hold the block.

    Raises:
        ImageryError: The photographs do not fit together, and nothing outside them says that they should.
    """
    rms = solution.tie_rms_px
    matched = np.array([how == "matched" for how in solution.placed])
    slid = _slid_scale(solution, matched)
    if solution.setting.frame.is_local and not controlled and slid > SLID_SCALE:
        raise ImageryError(
            f"the photographs have no positions and hang together in a chain whose scale slides {slid:.0f} times from "
            "one end to the other: not a map; give positions, ground control, or photographs that overlap sideways too"
        )
    if rms is None or rms <= POOR_TIES_PX or not matched.any():
        return
    if solution.setting.frame.is_local and not controlled:
        raise ImageryError(
            f"the photographs fit together to {rms:.1f} px only, and none has a position: not a map of the ground; "
            "give photographs taken looking down, with positions or ground control"
        )
    tilt = _untold_tilt_deg(index, solution, matched)
    if tilt > TILTED_DEG:
        raise ImageryError(
            f"the photographs fit together to {rms:.1f} px only, leaning {tilt:.0f} degrees: oblique views "
            "cannot be laid out without their angles; give a log with camera pitch and heading, or nadir photographs"
        )


def _slid_scale(solution: Solution, matched: NDArray[np.bool_]) -> float:
    """How many times as high above the ground under them the highest tenth of the cameras stand as the lowest."""
    state, ties = solution.state, solution.ties
    if matched.sum() < 3 or not len(ties.frame):
        return 1.0
    depth = np.abs(camera_points(state, ties)[:, 2])
    each = [float(np.median(depth[ties.frame == n])) for n in np.flatnonzero(matched) if (ties.frame == n).any()]
    low, high = np.percentile(each, (10, 90))
    return float(high / max(low, 1e-6))


def _untold_tilt_deg(index: Index, solution: Solution, matched: NDArray[np.bool_]) -> float:
    """How far most views lean when no file tells angles; 0 where files do."""
    if np.mean([photo.pitch_deg is not None for photo in index.photos]) >= 0.5 or not matched.any():
        return 0.0
    down = np.clip(-solution.state.R[matched, 2, 2], -1.0, 1.0)
    return float(np.median(np.degrees(np.arccos(down))))


def _distrust(index: Index, solution: Solution) -> list[Doubt]:
    """Positions that the files have and nobody could believe, where that left the block without any."""
    reasons = Counter(photo.distrust for photo in index.photos if photo.distrust and photo.lon is None)
    if not reasons or not solution.setting.frame.is_local:
        return []
    why, count = reasons.most_common(1)[0]
    return [
        Doubt(
            f"{count} of {len(index.photos)} photographs: {why}; correct the positions and stitch again",
            f"{len(index.photos)} 张照片中 {count} 张{in_chinese(why)}；请更正定位后重新拼接",
        )
    ]


def _place(index: Index, solution: Solution, matched: NDArray[np.bool_]) -> list[Doubt]:
    """Where on Earth, how many, and whether from more than one spot."""
    found = []
    if solution.setting.frame.is_local:
        found.append(
            Doubt(
                "no positions and no ground control: scale, place and north are unknown",
                "没有可用的定位，也没有控制点：比例尺、位置和方向均未知，不能量测",
            )
        )
    return [*found, *_unmatched(index, matched), *_one_spot(solution, matched)]


def _unmatched(index: Index, matched: NDArray[np.bool_]) -> list[Doubt]:
    """Frames that only their positions lay anywhere."""
    n, of = int(matched.sum()), len(matched)
    if n == of:
        return []
    if not n:
        return [
            Doubt(
                f"no two of {of} photographs match: each lies where its GPS says, metres off and nothing "
                "joined; fly with 70 % overlap, or leave out water and fog",
                f"{of} 张照片之间均无匹配：各自按 GPS 放置，误差可达数米，接边不可用；"
                "请保证 70% 以上重叠，水面、浓雾影像无法拼接",
            )
        ]
    if n < FEW_MATCHED * of:
        return [
            Doubt(
                f"only {n} of {of} frames match: the rest hang at their GPS places, metres off",
                f"{of} 张照片中仅 {n} 张匹配成功，其余按 GPS 放置，误差可达数米",
            )
        ]
    alone = [photo.file for photo, good in zip(index.photos, matched, strict=True) if not good]
    more, further = (", ...", "等") if len(alone) > NAMED else ("", "")
    return [
        Doubt(
            f"{len(alone)} frames match nothing and hang at their GPS places, metres off: "
            f"{', '.join(alone[:NAMED])}{more}",
            f"{len(alone)} 张照片未能匹配，按 GPS 放置，误差可达数米：{'、'.join(alone[:NAMED])}{further}",
        )
    ]


def _one_spot(solution: Solution, matched: NDArray[np.bool_]) -> list[Doubt]:
    centre = solution.state.C[matched]
    if len(centre) < 2:
        return []
    height = float(np.median(centre[:, 2])) - solution.ground_z
    if float(np.linalg.norm(np.std(centre[:, :2], axis=0))) >= ONE_SPOT_SHARE * max(1.0, height):
        return []
    return [
        Doubt(
            "all photographs were taken from one spot: heights cannot be told, scale leans on the height alone",
            "全部照片在同一位置拍摄：无法求得高程，比例尺仅依据飞行高度",
        )
    ]


def _fit(solution: Solution, shutter: ShutterTrace | None) -> list[Doubt]:
    found = []
    rms = solution.tie_rms_px
    if rms is not None and rms > POOR_TIES_PX:
        found.append(
            Doubt(
                f"photographs agree to {rms:.1f} px only (a sound block: 1.5): lines break by that at seams; "
                "a rolling shutter in turns, moving things, or a scene that is not ground seen from above",
                f"照片之间仅吻合到 {rms:.1f} 像素（正常应在 1.5 以内），接边处会错位；"
                "可能为转弯时的卷帘快门、运动物体，或拍摄对象不是俯视地面",
            )
        )
    if solution.lens_held:
        found.append(
            Doubt(
                "the photographs would bend the lens beyond belief: it was held near what the files say",
                "自检校所得相机参数不合理，已限制在文件标称值附近",
            )
        )
    if shutter and shutter.edge_px > SHUTTER_PX and shutter.explains > SHUTTER_EXPLAINS:
        found.append(
            Doubt(
                f"a rolling shutter moves the first and last rows by {shutter.edge_px:.1f} px beyond what poses absorb",
                f"卷帘快门使照片上下边缘残留约 {shutter.edge_px:.1f} 像素位移（位姿未能吸收的部分）",
            )
        )
    return found


def _tilt(index: Index, solution: Solution, matched: NDArray[np.bool_]) -> list[Doubt]:
    tilt = _untold_tilt_deg(index, solution, matched)
    if tilt <= TILTED_DEG:
        return _climb(solution, matched)
    return [
        Doubt(
            f"the views lean {tilt:.0f} degrees and no file tells angles: scale and place are looser than the fit says",
            f"照片倾斜约 {tilt:.0f} 度且文件未记录姿态角：比例尺与位置的实际精度低于残差所示",
        )
    ]


def _climb(solution: Solution, matched: NDArray[np.bool_]) -> list[Doubt]:
    """Told heights that the block contradicts."""
    setting, state = solution.setting, solution.state
    off = (state.C + state.bias[setting.flight_of] - setting.gps)[:, 2]
    told = matched & np.isfinite(off) & (setting.gps_sigma[:, 2] <= BAROMETER_M)
    if setting.frame.is_local or told.sum() < 3:
        return []
    climb = float(np.sqrt(np.mean((off[told] - np.median(off[told])) ** 2)))
    height = float(np.median(state.C[told, 2])) - solution.ground_z
    if climb <= max(LEANING_M, LEANING_SHARE * height):
        return []
    return [
        Doubt(
            f"cameras came out {climb:.0f} m off the heights that files tell: the block leans as a whole, scale and "
            "place are loose; give camera angles",
            f"解算的相机高度与照片记录相差约 {climb:.0f} 米：成果可能整体倾斜，比例尺与位置不可靠，请提供相机姿态角",
        )
    ]


def _groups(index: Index, solution: Solution, matched: NDArray[np.bool_]) -> list[Doubt]:
    """Groups of frames that nothing but GPS holds together."""
    block = connected(len(index.photos), [match.pair for match in solution.matches])
    sizes = np.bincount(block[matched]) if matched.any() else np.zeros(0, int)
    groups = np.flatnonzero(sizes > 1)
    if len(groups) < 2 or solution.setting.frame.is_local:
        return []
    first = [index.photos[int(np.flatnonzero(matched & (block == group))[0])].file for group in groups]
    sizes = sizes[groups]
    told = ", ".join(f"{size} from {file}" for size, file in list(zip(sizes, first, strict=True))[:NAMED])
    named = "、".join(f"{file} 起 {size} 张" for size, file in list(zip(sizes, first, strict=True))[:NAMED])
    return [
        Doubt(
            f"{len(groups)} groups of frames share no ties, GPS alone holds them together (metres): {told}",
            f"照片分为 {len(groups)} 组，组间没有连接点，仅靠 GPS 相接，可能错开数米：{named}",
        )
    ]


def _positions(index: Index, solution: Solution, matched: NDArray[np.bool_]) -> list[Doubt]:
    """Frames whose position is not where they were taken."""
    setting, state = solution.setting, solution.state
    off = np.hypot(*(state.C + state.bias[setting.flight_of] - setting.gps)[:, :2].T)
    off = np.where(matched & np.isfinite(off), off, 0.0)
    usual = float(np.median(off[matched])) if matched.any() else 0.0
    wrong = np.flatnonzero(off > max(WRONG_GPS_M, WRONG_GPS_TIMES * usual))
    if not len(wrong) or setting.frame.is_local:
        return []
    told = ", ".join(f"{index.photos[int(n)].file} {off[n]:.0f} m" for n in wrong[:NAMED])
    more = f" and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
    named = "、".join(f"{index.photos[int(n)].file} 偏差 {off[n]:.0f} 米" for n in wrong[:NAMED]) + (
        "等" if more else ""
    )
    return [
        Doubt(
            f"{len(wrong)} positions contradict the photographs and were not believed: {told}{more}",
            f"{len(wrong)} 张照片的定位与影像不符，未予采用：{named}",
        )
    ]


def _marks(marks: Marks, gsd_m: float) -> list[Doubt]:
    found = []
    if marks.pixel_scale != 1.0:
        found.append(
            Doubt(
                f"the marks' pixels are of images of another size: rays cross only when multiplied by "
                f"{marks.pixel_scale:.3f}",
                f"控制点像素坐标来自另一尺寸的影像，已乘以 {marks.pixel_scale:.3f}",
            )
        )
    if marks.left_out:
        told, named = "; ".join(marks.left_out), "；".join(in_chinese(note) for note in marks.left_out)
        found.append(Doubt(f"marks not believed: {told}", f"未采用的控制点观测：{named}"))
    if marks.precision_m is not None and marks.precision_m > 5.0 * gsd_m:
        found.append(
            Doubt(
                f"the marks fit the block's own shape to {marks.precision_m:.2f} m only "
                f"({marks.precision_m / gsd_m:.0f} px): a map's marks rather than a survey's, "
                "and the mosaic's place is no better",
                f"控制点与影像自身形状仅吻合到 {marks.precision_m:.2f} 米"
                f"（{marks.precision_m / gsd_m:.0f} 像素），应为图上量取而非实测，成果绝对位置不优于此",
            )
        )
    return found
