"""Reasons and notes in the Chinese of the report's page; `mosaic.json` keeps the English that names what to do."""

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


def in_chinese(reason: str) -> str:
    """A reason that this package gives, in Chinese; what it does not know it passes on as it is."""
    for pattern, text in _REASONS:
        found = re.fullmatch(pattern, reason, re.DOTALL)
        if found:
            return text.format(*found.groups())
    return reason
