"""The platform's states (案卷), which only it moves, and what each means for us."""

from __future__ import annotations

from typing import Final

# state -> its name on a screen. `filed` and `withdrawn` are ours; all others are written back by the platform.
STATES: Final[dict[str, str]] = {
    "filed": "已上报",
    "accepted": "已受理",
    "refused": "不予受理",
    "registered": "已立案",
    "dispatched": "已派遣",
    "handling": "处置中",
    "reported": "已反馈",
    "checking": "核查中",
    "closed": "已结案",
    "returned": "已回退",
    "voided": "已作废",
    "withdrawn": "已撤回",
}
# What may follow what. A platform skips steps and goes back; what it may not do is act on a case that has ended.
ENDED: Final = frozenset({"refused", "closed", "voided", "withdrawn"})
WRITTEN_BACK: Final = frozenset(STATES) - {"filed", "withdrawn"}
# From 立案 on new evidence is an attachment to the case (补充附件).
REGISTERED: Final = frozenset({"registered", "dispatched", "handling", "reported", "checking"})
# A case may be taken back by us only while the platform has not taken it up.
WITHDRAWABLE: Final = frozenset({"filed", "returned"})


def may_follow(before: str, after: str) -> bool:
    """Whether the platform may write `after` on a case that is `before`."""
    if after not in WRITTEN_BACK or before == "withdrawn":
        return False
    if before == after:
        return True
    # 回退 reopens what was closed or refused: their own correction.
    return before not in ENDED or after == "returned"
