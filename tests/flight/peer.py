"""A vehicle's side of the MAVLink services, written on pymavlink alone and behind a channel that loses and delays.

It answers as ArduCopter 4.6 does (AP_MissionItemProtocol.cpp): items are taken when their number is the expected one
and refused with INVALID_SEQUENCE otherwise, requests are repeated after a second, and NO_SPACE comes just after boot.
"""

import asyncio
import random

from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flight.address import Address
from flight.link import Link


class Channel:
    """Delays and loses frames both ways, by a seed."""

    def __init__(self, *, loss=0.0, delay_s=0.0, double=0.0, reorder=False, seed=1):
        self.loss, self.delay_s, self.double = loss, delay_s, double
        self.rng = random.Random(seed)
        self.reorder = reorder
        self.last = {}
        self.carried = 0

    def carry(self, data, receive):
        for _ in range(2 if self.rng.random() < self.double else 1):
            if self.rng.random() < self.loss:
                continue
            self.carried += 1
            loop = asyncio.get_running_loop()
            at = loop.time() + self.delay_s * self.rng.uniform(0.8, 1.2)
            if not self.reorder:
                at = self.last[receive] = max(at, self.last.get(receive, 0.0) + 1e-6)
            loop.call_at(at, receive, data)


class MemoryLink(Link):
    """Our end of a link to a `Peer` in this process."""

    def __init__(self, peer, channel):
        super().__init__(Address("tcp", "memory", 1))
        self.peer, self.channel = peer, channel
        peer.send = lambda frame: channel.carry(frame, self._from_peer)

    def _from_peer(self, data):
        self._received(data, None)

    async def _open(self):
        return

    def _write(self, data, peer):
        self.channel.carry(data, self.peer.receive)

    def _shut(self):
        return


class Peer:
    """Mission services of a vehicle; subclasses or tests change what it does wrong."""

    def __init__(self, *, system=1, busy_until_s=0.0, autopilot=mavlink.MAV_AUTOPILOT_ARDUPILOTMEGA):
        self.system, self.autopilot = system, autopilot
        self.mav = mavlink.MAVLink(None, srcSystem=system, srcComponent=1)
        self.parser = mavlink.MAVLink(None)
        self.parser.robust_parsing = True
        self.lists = {0: [], 1: [], 2: []}
        self.params = {"RTL_ALT": 1500.0, "FENCE_ENABLE": 0.0}
        self.busy_until_s = busy_until_s
        self.receiving = None  # (type, count, items so far, time of the last request)
        self.commands = []
        self.results = {}
        self.alter = lambda kind, items: items
        self.send = lambda frame: None

    def say(self, message):
        frame = message.pack(self.mav)
        self.mav.seq = (self.mav.seq + 1) % 256
        self.send(frame)

    def heartbeat(self):
        self.say(mavlink.MAVLink_heartbeat_message(2, self.autopilot, 81, 0, 3, 3))

    def receive(self, data):
        for message in self.parser.parse_buffer(data) or ():
            handler = getattr(self, "on_" + message.get_type().lower(), None)
            if handler:
                handler(message)

    def on_timesync(self, m):
        if m.tc1 == 0:
            self.say(mavlink.MAVLink_timesync_message(12345, m.ts1))

    def on_command_long(self, m):
        self.commands.append(m.command)
        self.say(mavlink.MAVLink_command_ack_message(m.command, self.results.get(m.command, 0)))
        if m.command == mavlink.MAV_CMD_REQUEST_MESSAGE and m.param1 == mavlink.MAVLINK_MSG_ID_AUTOPILOT_VERSION:
            none = bytes(8)
            self.say(mavlink.MAVLink_autopilot_version_message(0, 0, 0, 0, 0, none, none, none, 0, 0, 0))

    def on_param_request_read(self, m):
        if m.param_id in self.params:
            self.say_param(m.param_id)

    def say_param(self, name):
        self.say(mavlink.MAVLink_param_value_message(name.encode(), self.params[name], 9, len(self.params), 0))

    def on_param_set(self, m):
        if m.param_id in self.params:
            self.params[m.param_id] = m.param_value
            self.say_param(m.param_id)

    def ack(self, kind, result):
        self.say(mavlink.MAVLink_mission_ack_message(255, 190, result, kind))

    def on_mission_count(self, m):
        if asyncio.get_running_loop().time() < self.busy_until_s:
            return self.ack(m.mission_type, mavlink.MAV_MISSION_NO_SPACE)
        if m.count == 0:
            self.lists[m.mission_type] = []
            self.receiving = None
            return self.ack(m.mission_type, 0)
        self.lists[m.mission_type] = self.lists[m.mission_type][: m.count]  # as ArduPilot: the old list is not kept
        self.receiving = [m.mission_type, m.count, [], 0.0]
        return self.ask()

    def ask(self):
        kind, _count, items, _ = self.receiving
        now = asyncio.get_running_loop().time()
        self.receiving[3] = now
        self.say(mavlink.MAVLink_mission_request_int_message(255, 190, len(items), kind))
        asyncio.get_running_loop().call_later(1.0, self.ask_again, self.receiving)

    def ask_again(self, receiving):
        if self.receiving is receiving and asyncio.get_running_loop().time() - receiving[3] > 0.95:
            self.ask()

    def on_mission_item_int(self, m):
        if self.receiving is None:
            return self.ack(m.mission_type, mavlink.MAV_MISSION_ERROR)
        kind, count, items, _ = self.receiving
        if m.mission_type != kind or m.seq != len(items):
            return self.ack(kind, mavlink.MAV_MISSION_INVALID_SEQUENCE)
        items.append(m)
        if len(items) < count:
            return self.ask()
        self.lists[kind] = self.alter(kind, items)
        self.receiving = None
        return self.ack(kind, 0)

    def on_mission_request_list(self, m):
        self.say(mavlink.MAVLink_mission_count_message(255, 190, len(self.lists[m.mission_type]), m.mission_type))

    def on_mission_request_int(self, m):
        items = self.lists[m.mission_type]
        if m.seq >= len(items):
            return self.ack(m.mission_type, mavlink.MAV_MISSION_INVALID_SEQUENCE)
        i = items[m.seq]
        self.say(
            mavlink.MAVLink_mission_item_int_message(
                255, 190, m.seq, i.frame, i.command, 0, i.autocontinue, i.param1, i.param2, i.param3, i.param4,
                i.x, i.y, i.z, m.mission_type,
            )
        )  # fmt: skip
        return None


async def connected(peer, channel=None):
    """A `Vehicle` of ours that has met `peer`, without a station's timers."""
    from flight.station import Channel as OurChannel

    link = MemoryLink(peer, channel or Channel())
    ours = OurChannel(link, None, 1.0, 1)
    await link.open(1.0)
    while not ours.vehicles:
        peer.heartbeat()
        await asyncio.sleep(0.02)
    return ours.vehicles[peer.system]
