"""Missions, fences and rally points to a vehicle and back, over links that lose a third of what is sent.

An upload is driven by the vehicle's requests; what we add is a timeout from the measured round trip, a small window
of items sent ahead (ArduPilot takes an item whose number it expects whether or not it asked yet), and a search for
the number it expects when both a request and an item were lost. A download keeps many requests in flight.
Success is never an acknowledgement: it is the same items read back.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence

from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flight.clock import now_s
from flight.errors import TransferError
from flight.items import TYPE_NAMES, WireItem, from_fields
from flight.vehicle import Inbox, Vehicle
from flight.wire import Packet

Progress = Callable[[int, int, str], None]

# Items sent ahead of the vehicle's request. 46 x 200 items at 100 ms round trip: 20.9 s with 1, 6.3 s with 4
# (benchmarks/fleet.py); more gains little and costs more repeats under loss.
UPLOAD_WINDOW = 4
# Requests in flight of a download: at 100 ms round trip 16 is 160 items/s, what a 57.6 kbps radio carries twice over.
DOWNLOAD_WINDOW = 16
# A transfer without any progress for this long has failed. At 30 % loss each way one exchange succeeds with p = 0.49:
# 20 tries in vain have p = 1e-6.
_STALL_S = 12.0
_LEAST_TRIES = 20
# A real ArduCopter refuses uploads in its first 0.4 s with NO_SPACE (seen with 4.6.3): asked again until this long.
_NO_SPACE_FOR_S = 6.0
_WHOLE_TRIES = 4

_REQUESTS = (mavlink.MAVLINK_MSG_ID_MISSION_REQUEST_INT, mavlink.MAVLINK_MSG_ID_MISSION_REQUEST)
_ITEMS = (mavlink.MAVLINK_MSG_ID_MISSION_ITEM_INT, mavlink.MAVLINK_MSG_ID_MISSION_ITEM)
_ACK = mavlink.MAVLINK_MSG_ID_MISSION_ACK
_ACK_NAMES = {
    value: entry.name.removeprefix("MAV_MISSION_").replace("_", " ").lower()
    for value, entry in mavlink.enums["MAV_MISSION_RESULT"].items()
}


class _NoSpaceError(Exception):
    """The vehicle said NO_SPACE."""


class _GivenUpError(Exception):
    """The vehicle cancelled the transfer; it can be begun anew."""


def _nothing(done: int, total: int, what: str) -> None:
    return


class _Upload:
    """One pass of the upload protocol.

    The vehicle expects number `asked`, or a later one when its last request was lost: `probe` looks for it. A refusal
    for being out of sequence is only a hint (a doubled frame brings one too): it shortens the wait, nothing more.
    """

    def __init__(self, vehicle: Vehicle, items: Sequence[WireItem], mission_type: int, window: int) -> None:
        self.vehicle, self.items, self.mission_type = vehicle, items, mission_type
        self.window, self.most = float(window), float(window)  # items ahead; halved by loss, grown by success
        self.asked = -1  # highest number the vehicle asked for
        self.probe = -1  # the number sent last after a silence
        self.sent_to = 0  # items below this need not be sent unasked
        self.highest = 0  # items below this were ever sent
        self.sent_s: dict[int, float] = {}  # when an item was sent, for those sent once
        self.tries = 0
        self.hint = False
        self.moved_s = now_s()
        self.due_s = 0.0

    def send_count(self) -> None:
        v = self.vehicle
        v.send(mavlink.MAVLink_mission_count_message(v.system_id, v.component_id, len(self.items), self.mission_type))
        self.wait(self.vehicle.rtt.timeout_s(min(self.tries, 3)))

    def wait(self, seconds: float) -> None:
        """The next silence is this far away."""
        self.due_s = now_s() + seconds

    def send_item(self, seq: int) -> None:
        v = self.vehicle
        v.send(self.items[seq].message(seq, v.system_id, v.component_id, self.mission_type))
        self.sent_s[seq] = math.nan if seq < self.highest else now_s()
        self.highest = max(self.highest, seq + 1)

    def requested(self, seq: int) -> None:
        """The vehicle asks for an item."""
        if seq <= self.asked or seq >= len(self.items):
            return  # a late double, or a repeat of what is on its way: our own timeout is the shorter one
        at_s = now_s()
        self.vehicle.rtt.add(at_s - (self.sent_s.get(seq - 1, math.nan) if seq else self.moved_s))
        if self.probe < 0:
            self.window = min(self.window + 0.1, self.most)
        self.asked, self.probe, self.tries, self.hint = seq, -1, 0, False
        self.moved_s = at_s
        for number in range(max(seq, self.sent_to), min(seq + int(self.window), len(self.items))):
            self.send_item(number)
            self.sent_to = number + 1
        self.wait(self.vehicle.rtt.timeout_s())

    def silent(self) -> None:
        """No progress within the timeout."""
        self.tries += 1
        if self.tries > _LEAST_TRIES and now_s() - self.moved_s > _STALL_S:
            raise TransferError(self._stalled())
        if self.asked < 0:
            self.send_count()
            return
        if self.probe < 0:
            self.window = max(1.0, self.window / 2)
            self.probe = self.asked
        elif self.hint and self.probe + 1 <= min(self.highest, len(self.items) - 1):
            self.probe += 1  # it has the one we tried, and its request for the next was lost
        else:
            self.probe = self.asked
        self.hint = False
        self.sent_to = self.asked + 1
        self.send_item(self.probe)
        self.wait(self.vehicle.rtt.timeout_s(min(self.tries // 2, 3)))

    def out_of_sequence(self) -> None:
        """It expects another number than we sent; if no request says which within half a round trip, we search."""
        if not self.hint:
            self.hint = True
            smooth_s = self.vehicle.rtt.smooth_s
            self.due_s = min(self.due_s, now_s() + (0.5 * smooth_s if smooth_s == smooth_s else 0.2) + 0.005)

    def acknowledged(self, result: int) -> bool:
        """True when it is done."""
        if result == mavlink.MAV_MISSION_ACCEPTED:
            return self.highest >= len(self.items)
        if result == mavlink.MAV_MISSION_INVALID_SEQUENCE:
            self.out_of_sequence()
            return False
        if result == mavlink.MAV_MISSION_NO_SPACE:
            raise _NoSpaceError
        if result == mavlink.MAV_MISSION_OPERATION_CANCELLED:
            raise _GivenUpError
        if result == mavlink.MAV_MISSION_ERROR and self.highest >= len(self.items):
            return True  # its last acknowledgement was lost and it is no longer receiving: reading back will tell
        raise TransferError(
            f"{self.vehicle.name} refused the {TYPE_NAMES[self.mission_type]} at item {max(self.asked, 0)} of "
            f"{len(self.items)}: {_ACK_NAMES.get(result, result)}; its old one may be incomplete"
        )

    def _stalled(self) -> str:
        return (
            f"{self.vehicle.name}: the {TYPE_NAMES[self.mission_type]} upload stands at item {max(self.asked, 0)} of "
            f"{len(self.items)} for {now_s() - self.moved_s:.0f} s; check the link and upload again"
        )

    async def run(self, progress: Progress) -> None:
        with self.vehicle.inbox(*_REQUESTS, _ACK) as inbox:
            self.send_count()
            while True:
                packet = await inbox.get(self.due_s - now_s())
                if packet is None:
                    self.silent()
                elif packet.fields.mission_type != self.mission_type:
                    continue
                elif packet.msg_id == _ACK:
                    if self.acknowledged(packet.fields.type):
                        progress(len(self.items), len(self.items), f"{TYPE_NAMES[self.mission_type]} sent")
                        return
                else:
                    self.requested(packet.fields.seq)
                    progress(max(self.asked, 0), len(self.items), f"{TYPE_NAMES[self.mission_type]} upload")


async def upload(vehicle: Vehicle, items: Sequence[WireItem], mission_type: int, progress: Progress = _nothing) -> None:
    """Uploads a list; it is on the vehicle only when `download` gives it back.

    Raises:
        TransferError: Refused, or no progress; the vehicle's old list may be incomplete then.
    """
    no_space_until_s = now_s() + _NO_SPACE_FOR_S
    for _ in range(_WHOLE_TRIES * 8):
        ardupilot = vehicle.state.heartbeat is not None and vehicle.state.heartbeat.autopilot == 3
        try:
            await _Upload(vehicle, items, mission_type, UPLOAD_WINDOW if ardupilot else 1).run(progress)
            return
        except _NoSpaceError:
            if now_s() > no_space_until_s:
                raise TransferError(
                    f"{vehicle.name} has no space for {len(items)} {TYPE_NAMES[mission_type]} items: plan less a sortie"
                ) from None
            await asyncio.sleep(0.3)
        except _GivenUpError:
            await asyncio.sleep(0.1)
    raise TransferError(f"{vehicle.name} cancelled the {TYPE_NAMES[mission_type]} upload again and again")


class _Download:
    """One pass of the download protocol with many requests in flight."""

    def __init__(self, vehicle: Vehicle, mission_type: int, inbox: Inbox) -> None:
        self.vehicle, self.mission_type, self.inbox = vehicle, mission_type, inbox
        self.got: dict[int, WireItem] = {}
        self.asked_s: dict[int, tuple[float, int]] = {}  # number -> when asked, how often
        self.moved_s = now_s()

    async def count(self) -> int:
        v = self.vehicle
        for attempt in range(_LEAST_TRIES * 2):
            v.send(mavlink.MAVLink_mission_request_list_message(v.system_id, v.component_id, self.mission_type))
            until_s = now_s() + v.rtt.timeout_s(min(attempt, 3))
            while (left_s := until_s - now_s()) > 0:
                packet = await self.inbox.get(left_s)
                if packet is None:
                    break
                if packet.msg_id == mavlink.MAVLINK_MSG_ID_MISSION_COUNT and self._ours(packet):
                    return int(packet.fields.count)
        raise TransferError(f"{v.name} does not say how many {TYPE_NAMES[self.mission_type]} items it has")

    def _ours(self, packet: Packet) -> bool:
        return bool(packet.fields.mission_type == self.mission_type)

    def ask(self, seq: int) -> None:
        v = self.vehicle
        self.asked_s[seq] = (now_s(), self.asked_s.get(seq, (0.0, 0))[1] + 1)
        v.send(mavlink.MAVLink_mission_request_int_message(v.system_id, v.component_id, seq, self.mission_type))

    def ask_due(self, total: int) -> float:
        """Fills the window, asks again for what is overdue, and gives the seconds to the next timeout."""
        at_s = now_s()
        open_ = sorted(self.asked_s)
        for seq in open_:
            asked_s, tries = self.asked_s[seq]
            if at_s - asked_s > self.vehicle.rtt.timeout_s(min(tries - 1, 3)):
                self.ask(seq)
        following = max((max(self.asked_s, default=-1), max(self.got, default=-1))) + 1
        while len(self.asked_s) < DOWNLOAD_WINDOW and following < total:
            self.ask(following)
            following += 1
        dues = [at + self.vehicle.rtt.timeout_s(min(tries - 1, 3)) for at, tries in self.asked_s.values()]
        return max(0.001, min(dues, default=at_s) - now_s())  # never 0: that would spin until the clock moves

    def take(self, packet: Packet) -> None:
        if packet.msg_id not in _ITEMS or not self._ours(packet) or packet.fields.seq in self.got:
            return
        asked = self.asked_s.pop(packet.fields.seq, None)
        if asked is None:
            return
        if asked[1] == 1:
            self.vehicle.rtt.add(now_s() - asked[0])
        self.got[packet.fields.seq] = from_fields(packet.fields)
        self.moved_s = now_s()

    async def run(self, progress: Progress) -> list[WireItem]:
        total = await self.count()
        while len(self.got) < total:
            packet = await self.inbox.get(self.ask_due(total))
            if packet is not None:
                self.take(packet)
                progress(len(self.got), total, f"{TYPE_NAMES[self.mission_type]} read back")
            elif now_s() - self.moved_s > _STALL_S:
                raise TransferError(
                    f"{self.vehicle.name}: reading the {TYPE_NAMES[self.mission_type]} back stands at "
                    f"{len(self.got)} of {total} items; check the link"
                )
        v = self.vehicle
        v.send(mavlink.MAVLink_mission_ack_message(v.system_id, v.component_id, 0, self.mission_type))
        return [self.got[seq] for seq in range(total)]


async def download(vehicle: Vehicle, mission_type: int, progress: Progress = _nothing) -> list[WireItem]:
    """Reads a vehicle's list.

    Raises:
        TransferError: No answer, or no progress.
    """
    with vehicle.inbox(*_ITEMS, mavlink.MAVLINK_MSG_ID_MISSION_COUNT) as inbox:
        return await _Download(vehicle, mission_type, inbox).run(progress)
