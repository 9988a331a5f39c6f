"""Reasons, notes and refusals in Chinese: for the report's page, and for whoever shows an `ImageryError` to a bureau.

`mosaic.json` and the errors themselves keep the English.
"""

from __future__ import annotations

import re

_REASONS: tuple[tuple[str, str], ...] = (
    (r"not an image that can be read", "不是可以打开的影像文件"),
    (r"truncated: .*", "文件不完整（JPEG 数据中途截断），请从存储卡重新拷贝"),
    (r"the same bytes as (.+)", "与 {0} 内容完全相同，属重复文件"),
    (r"does not decode: .*", "影像数据损坏，无法解码"),
    (r"no position in EXIF.*", "照片和拍摄记录中均无定位信息，而其他照片有定位"),
    (
        r"impossible position: latitude ([-\d.]+), longitude ([-\d.]+).*",
        "定位有误：纬度 {0}、经度 {1} 不可能，经纬度可能写反",
    ),
    (r"nearly all photographs claim one .*", "几乎所有照片的定位完全相同：接收机卡死或定位被统一改写，未予采用"),
    (r"no position, and it matches no other photograph", "没有定位信息，且与其他照片均不匹配"),
    (r"no position, and it matches only .*", "没有定位信息，仅与未接入主体的照片相匹配"),
    (
        r"([\d.]+) km from every photograph that matches.*",
        "定位距其余照片 {0} 公里且与之均不匹配：定位有误，或不属于本测区",
    ),
    (r"(?:\[Errno \d+\] )?Permission denied.*", "文件无读取权限"),
    (r"\[Errno \d+\] .*", "文件读取失败，请检查存储介质"),
    (r"(.+) in (.+): ([\d.]+) px beside where others see it", "{0} 在 {1} 中的像点与其他照片所指位置相差 {2} 像素"),
    (r"(.+): its photographs see it ([\d.]+) px apart", "{0} 在各照片中的像点互不一致，相差 {1} 像素"),
    (r"(.+): ([\d.]+) m from where the other marks put it", "{0} 的坐标与其他控制点推算的位置相差 {1} 米"),
)
# Refusals of the stage, whole: what was found, and what to do.
_REFUSALS: tuple[tuple[str, str], ...] = (
    (r"no frames folder at (.+?): .*", "照片文件夹 {0} 不存在，请给出存放照片的文件夹"),
    (r"no photographs \(\*\.jpg\) in (.+?): .*", "文件夹 {0} 中没有照片（*.jpg），请核对文件夹"),
    (r"none of the photographs in (.+?) can be used: .*", "文件夹 {0} 中的照片均无法使用，请从存储卡重新拷贝"),
    (
        r"none of (\d+) photographs has a position .*",
        "{0} 张照片均无定位信息，且两两之间没有匹配，无法确定位置；请提供拍摄记录，或有足够重叠的照片",
    ),
    (
        r"the positions contradict the photographs: .*",
        "照片定位与影像内容矛盾，拒绝成图；请核对拍摄记录是否属于这批照片（顺序、时钟、列），或去掉定位只生成无坐标影像",
    ),
    (
        r"the photographs fit together to ([\d.]+) px only, and none has a position: .*",
        "照片之间仅吻合到 {0} 像素且均无定位信息，不是俯视地面的影像；请提供俯视照片，并附定位或控制点",
    ),
    (
        r"the photographs fit together to ([\d.]+) px only, leaning (\d+) degrees: .*",
        "照片之间仅吻合到 {0} 像素且倾斜约 {1} 度：缺少姿态角的倾斜照片无法成图；"
        "请提供相机俯仰角和航向，或改用垂直拍摄照片",
    ),
    (
        r"the photographs have no positions and hang together in a chain whose scale slides (\d+) times .*",
        "照片均无定位，且仅首尾相接成一条链，两端比例尺相差约 {0} 倍，不能成图；"
        "请提供定位或控制点，或补拍有旁向重叠的照片",
    ),
    (
        r"the baseline does not match: (\d+) of (\d+) frames found (\d+) common features, .*",
        "与往期影像不匹配：{1} 张照片中仅 {0} 张找到共 {2} 个同名点；请核对是否同一地点、分辨率相近，或改用控制点",
    ),
    (r"no baseline at (.+?): .*", "往期影像 {0} 不存在，请给出此前的 mosaic.tif 或其文件夹"),
    (r"the baseline (.+?) is not a raster that can be read: .*", "往期影像 {0} 无法打开"),
    (r"the baseline (.+?) has no coordinate system: .*", "往期影像 {0} 没有坐标系，请给出带坐标的影像"),
    (
        r"the photographs' positions span (\d+) km x (\d+) km .*",
        "照片定位范围达 {0} 公里 × {1} 公里：同一卡上有两个地点或定位有误，请按地点分别拼接",
    ),
    (r"no ground control at (.+)", "控制点文件 {0} 不存在"),
    (r"none of the ground control's photographs is in the folder: .*", "控制点所列照片均不在文件夹中，请核对文件名"),
    (r"(\d+) ground control marks are seen by .*", "仅 {0} 个控制点出现在照片中，至少需要 3 个才能定位"),
)


def in_chinese(reason: str) -> str:
    """A reason or refusal that this package gives, in Chinese; what it does not know it passes on as it is."""
    for pattern, text in (*_REASONS, *_REFUSALS):
        found = re.fullmatch(pattern, reason, re.DOTALL)
        if found:
            return text.format(*found.groups())
    return reason
