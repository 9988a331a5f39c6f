"""The mission protocol on the vehicle's side, for missions, fences and rally points.

One upload at a time and vehicle-wide, as on the real thing. Missions and rally points are written item by item over
the old ones, so that an upload that breaks off leaves a mixture; a fence replaces the old one when all of it has come.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pymavlink.dialects.v20 import ardupilotmega as mavlink

from simulators.copter import items as it
from simulators.copter.channel import Channel
from simulators.copter.items import Item

_RETRY_S = 1.0
_GIVE_UP_S = 8.0
# A real autopilot's storage is not there in its first moments.
STORAGE_AFTER_S = 0.4


@dataclass
class _Upload:
    channel: Channel
    kind: int
    count: int
    peer: tuple[int, int]
    first: int = 0
    partial: bool = False
    received: list[Item] = field(default_factory=list)
    asked_s: float = 0.0
    heard_s: float = 0.0

    @property
    def due(self) -> int:
        """Number of the item that comes next."""
        return self.first + len(self.received)

    def over(self, plan: list[Item]) -> list[Item]:
        """A plan with what came in the place of its items from `first` on."""
        return [*plan[: self.first], *self.received, *plan[self.due :]]


class Transfers:
    """Keeps the three plans of one vehicle and talks about them.

    Attributes:
        plans: Stored items by kind; the mission's item 0 is home and is given by `home` when read.
        changed: Called with the kind after a plan was replaced or cleared.
        goto: Called with an item that is to be flown to now; MAV_MISSION_RESULT.
    """

    def __init__(self, now: Callable[[], float], home: Callable[[], Item], grace: float = 1.0) -> None:
        self._now, self._home = now, home
        # On a fast clock the ground still answers in wall time: waits grow by this factor.
        self._grace = grace
        self.plans: dict[int, list[Item]] = {it.MISSION: [], it.FENCE: [], it.RALLY: []}
        self.changed: Callable[[int], None] = lambda kind: None
        self.goto: Callable[[Item, bool], int] = lambda item, height_only: it.UNSUPPORTED
        self._upload: _Upload | None = None

    def count(self, kind: int) -> int:
        """Items as a ground station counts them."""
        return len(self.plans[kind])

    def item(self, kind: int, index: int) -> Item | None:
        """One item as it is read back."""
        if kind == it.MISSION and index == 0:
            return self._home()
        plan = self.plans[kind]
        return plan[index] if 0 <= index < len(plan) else None

    def forget_channel(self, channel: Channel) -> None:
        """A client has gone: what it was uploading breaks off."""
        if self._upload and self._upload.channel is channel:
            self._break_off()

    def reboot(self) -> None:
        """An upload does not outlive a reboot; stored plans do."""
        self._break_off()

    def _break_off(self) -> None:
        """Ends an upload; what was written of it is there."""
        upload, self._upload = self._upload, None
        if upload is not None and upload.kind != it.FENCE:
            self.changed(upload.kind)

    def receive(self, channel: Channel, message: Any) -> None:
        """Handles one message of the mission protocol."""
        handler = {
            "MISSION_COUNT": self._on_count,
            "MISSION_ITEM_INT": self._on_item,
            "MISSION_ITEM": self._on_item,
            "MISSION_REQUEST_LIST": self._on_list,
            "MISSION_REQUEST_INT": self._on_request,
            "MISSION_REQUEST": self._on_request,
            "MISSION_CLEAR_ALL": self._on_clear,
            "MISSION_ACK": self._on_ack,
            "MISSION_WRITE_PARTIAL_LIST": self._on_partial,
        }[message.msgname]
        kind = getattr(message, "mission_type", 0)
        if kind == 255 and message.msgname == "MISSION_CLEAR_ALL":
            self._on_clear_everything(channel, message)
        elif kind not in self.plans:
            self._ack(channel, _peer(message), kind, it.UNSUPPORTED)
        else:
            handler(channel, message)

    def step(self) -> None:
        """Asks again for an item that did not come; gives an upload up when nothing comes at all."""
        upload = self._upload
        if upload is None:
            return
        now = self._now()
        if now - upload.heard_s > _GIVE_UP_S * self._grace:
            self._break_off()
            self._ack(upload.channel, upload.peer, upload.kind, it.CANCELLED)
        elif now - upload.asked_s > _RETRY_S * self._grace:
            self._ask(upload)

    def _ack(self, channel: Channel, peer: tuple[int, int], kind: int, result: int) -> None:
        channel.send(mavlink.MAVLink_mission_ack_message, *peer, result, kind, *_ID)

    def _ask(self, upload: _Upload) -> None:
        upload.asked_s = self._now()
        upload.channel.send(mavlink.MAVLink_mission_request_message, *upload.peer, upload.due, upload.kind)

    def _on_count(self, channel: Channel, message: Any) -> None:
        kind, peer = message.mission_type, _peer(message)
        if self._now() < STORAGE_AFTER_S or message.count > it.CAPACITY[kind]:
            self._ack(channel, peer, kind, it.NO_SPACE)
            return
        busy = self._upload
        if busy is not None and (busy.peer, busy.channel) != (peer, channel):
            self._ack(channel, peer, kind, it.DENIED)
            return
        if message.count == 0:
            self._upload = None
            self._replace(kind, [])
            self._ack(channel, peer, kind, it.ACCEPTED)
            return
        self._upload = _Upload(channel, kind, message.count, peer, heard_s=self._now())
        if kind != it.FENCE:
            self.plans[kind] = self.plans[kind][: message.count]
        self._ask(self._upload)

    def _on_item(self, channel: Channel, message: Any) -> None:
        upload, peer = self._upload, _peer(message)
        if message.current in (2, 3):
            # The older way to say "go there now": 2 a place, 3 a height; no part of a transfer.
            self._ack(channel, peer, message.mission_type, self.goto(it.from_message(message), message.current == 3))
            return
        if upload is None or upload.channel is not channel or upload.kind != message.mission_type:
            return
        if message.seq != upload.due:
            # A repeated or early item changes nothing and is answered so; the transfer goes on.
            self._ack(channel, peer, upload.kind, it.INVALID_SEQUENCE)
            return
        item = it.from_message(message)
        result = it.ACCEPTED if upload.kind == it.MISSION and message.seq == 0 else it.refusal(item, upload.kind)
        if result != it.ACCEPTED:
            self._break_off()
            self._ack(channel, peer, upload.kind, result)
            return
        upload.received.append(it.stored(item, upload.kind))
        upload.heard_s = self._now()
        if upload.kind != it.FENCE:
            self.plans[upload.kind] = upload.over(self.plans[upload.kind])
        if len(upload.received) < upload.count:
            self._ask(upload)
            return
        self._upload = None
        whole = upload.received if upload.kind == it.FENCE and not upload.partial else None
        plan = upload.over(self.plans[upload.kind]) if whole is None else whole
        if upload.kind == it.FENCE and not it.complete_fence(plan):
            self._ack(channel, peer, upload.kind, it.INVALID)
            return
        self._replace(upload.kind, plan)
        self._ack(channel, peer, upload.kind, it.ACCEPTED)

    def _replace(self, kind: int, plan: list[Item]) -> None:
        self.plans[kind] = plan
        self.changed(kind)

    def replace(self, kind: int, plan: list[Item]) -> int:
        """Takes a whole plan that came another way (FTP); MAV_MISSION_RESULT."""
        for index, item in enumerate(plan):
            result = it.ACCEPTED if kind == it.MISSION and index == 0 else it.refusal(item, kind)
            if result != it.ACCEPTED:
                return result
        if len(plan) > it.CAPACITY[kind] or (kind == it.FENCE and not it.complete_fence(plan)):
            return it.NO_SPACE if len(plan) > it.CAPACITY[kind] else it.INVALID
        self._replace(kind, [it.stored(item, kind) for item in plan])
        return it.ACCEPTED

    def _on_list(self, channel: Channel, message: Any) -> None:
        kind = message.mission_type
        channel.send(mavlink.MAVLink_mission_count_message, *_peer(message), self.count(kind), kind, *_ID)

    def _on_request(self, channel: Channel, message: Any) -> None:
        kind, peer = message.mission_type, _peer(message)
        item = self.item(kind, message.seq)
        if item is None:
            self._ack(channel, peer, kind, it.ERROR)
            return
        whole = message.msgname == "MISSION_REQUEST_INT"
        cls = mavlink.MAVLink_mission_item_int_message if whole else mavlink.MAVLink_mission_item_message
        plain = whole or item.command not in it.LOCATED
        x, y = (item.x, item.y) if plain else (item.lat, item.lon)
        tail = (item.autocontinue, *item.params, x, y, item.z, kind)
        channel.send(cls, *peer, message.seq, item.frame, item.command, 0, *tail)

    def _on_clear(self, channel: Channel, message: Any) -> None:
        self._upload = None
        self._replace(message.mission_type, [])
        self._ack(channel, _peer(message), message.mission_type, it.ACCEPTED)

    def _on_clear_everything(self, channel: Channel, message: Any) -> None:
        self._upload = None
        for kind in self.plans:
            self._replace(kind, [])
        self._ack(channel, _peer(message), 255, it.ACCEPTED)

    def _on_ack(self, channel: Channel, message: Any) -> None:
        """The end of a download, or a ground station that gives its upload up."""
        upload = self._upload
        if upload and upload.channel is channel and message.type == it.CANCELLED:
            self._break_off()

    def _on_partial(self, channel: Channel, message: Any) -> None:
        """Items `start_index` to `end_index` are replaced, or one is added behind the last; as ArduPilot takes them."""
        kind, peer, size = message.mission_type, _peer(message), len(self.plans[message.mission_type])
        first, last = message.start_index, message.end_index
        if self._upload is not None:
            self._ack(channel, peer, kind, it.DENIED)
        elif not 0 <= first <= last <= size:
            self._ack(channel, peer, kind, it.ERROR)
        else:
            self._upload = _Upload(channel, kind, last - first + 1, peer, first, True, heard_s=self._now())
            self._ask(self._upload)


def _peer(message: Any) -> tuple[int, int]:
    return message.get_srcSystem(), message.get_srcComponent()


# The plan id (opaque_id) that newer dialects carry behind COUNT and ACK; 0 says "not supported".
_ID = (0,) if "opaque_id" in mavlink.MAVLink_mission_ack_message.fieldnames else ()
