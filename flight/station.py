"""Our ground station on the air: links, the vehicles seen on them, and a heartbeat that never stops.

One event loop serves all vehicles; nothing in it blocks, so that a slow vehicle delays none of the others and the
heartbeat (its own timer, not a side effect of a receive loop) is on time also during transfers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flight.address import parse_address
from flight.clock import now_s
from flight.errors import LinkError
from flight.link import Link, Peer, make_link
from flight.signing import SignatureCheck, Signer, SigningKey
from flight.vehicle import Vehicle
from flight.wire import Decoder, Packet
from flight.wireout import Encoder

SYSTEM_ID = 255
COMPONENT_ID = 190
# After the first vehicle on a shared UDP port, others are waited for this long: heartbeats come at 1 Hz.
_MORE_VEHICLES_S = 3.0
# An address that took a system id over from another that was heard this recently is a second vehicle of that number.
_TAKE_OVER_S = 3.0
_HEARTBEAT = mavlink.MAVLINK_MSG_ID_HEARTBEAT
_TIMESYNC = mavlink.MAVLINK_MSG_ID_TIMESYNC
_GROUND_TYPES = (mavlink.MAV_TYPE_GCS, mavlink.MAV_TYPE_ANTENNA_TRACKER, mavlink.MAV_TYPE_ONBOARD_CONTROLLER)


class Channel:
    """A link with its decoders, its encoder and the vehicles on it."""

    def __init__(self, link: Link, key: SigningKey | None, speedup: float, link_number: int) -> None:
        self.link = link
        self.vehicles: dict[int, Vehicle] = {}
        self.id_conflicts = 0
        self._key = key
        self._check = SignatureCheck(key) if key else None
        self.encoder = Encoder(SYSTEM_ID, COMPONENT_ID, Signer(key, link_number, self._check) if key else None)
        self._speedup = speedup
        self._decoders: dict[Peer, Decoder] = {}
        self.seen = asyncio.Event()
        link.on_data = self._data
        link.on_open = self._decoders.clear

    @property
    def decoders(self) -> Sequence[Decoder]:
        """One decoder for each peer, with its counts."""
        return list(self._decoders.values())

    def _data(self, data: bytes, peer: Peer) -> None:
        decoder = self._decoders.get(peer)
        if decoder is None:
            decoder = self._decoders[peer] = Decoder(self._check)
        at_s = now_s()
        for packet in decoder.feed(data):
            vehicle = self.vehicles.get(packet.system)
            if vehicle is None:
                vehicle = self._meet(packet, peer)
                if vehicle is None:
                    continue
            if vehicle.peer != peer and not self._moved(vehicle, peer, at_s):
                continue
            if packet.msg_id == _TIMESYNC:
                vehicle.pong(packet.fields, at_s)
            vehicle.receive(packet, at_s)

    def _meet(self, packet: Packet, peer: Peer) -> Vehicle | None:
        if packet.msg_id != _HEARTBEAT or packet.system == SYSTEM_ID or packet.component != 1:
            return None
        if packet.fields.type in _GROUND_TYPES or packet.fields.autopilot == mavlink.MAV_AUTOPILOT_INVALID:
            return None
        vehicle = Vehicle(self.link, peer, packet.system, self.encoder, self._speedup)
        self.vehicles[packet.system] = vehicle
        self.seen.set()
        return vehicle

    def _moved(self, vehicle: Vehicle, peer: Peer, now_s: float) -> bool:
        if now_s - vehicle.state.last_packet_s < _TAKE_OVER_S:
            self.id_conflicts += 1
            return False
        vehicle.peer = peer
        return True

    def broadcast_heartbeat(self) -> None:
        """One heartbeat to every peer of the link."""
        frame = self.encoder.encode(
            mavlink.MAVLink_heartbeat_message(
                mavlink.MAV_TYPE_GCS, mavlink.MAV_AUTOPILOT_INVALID, 0, 0, mavlink.MAV_STATE_ACTIVE, 3
            )
        )
        if self.link.address.kind != "udpin":
            self.link.send(frame, None)
            return
        for peer in self._decoders:
            self.link.send(frame, peer)


class Station:
    """All our links. `speedup` is the simulated clock's: heartbeats are at 1 Hz of the vehicles' clock."""

    def __init__(self, *, speedup: float = 1.0, key: SigningKey | None = None, heartbeat_hz: float = 1.0) -> None:
        self.channels: list[Channel] = []
        self.speedup = speedup
        self.heartbeats_sent = 0
        self.worst_heartbeat_late_s = 0.0
        self._key = key
        self._interval_s = 1.0 / (heartbeat_hz * speedup)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Station:
        self._tasks = [asyncio.create_task(self._beat()), asyncio.create_task(self._ping())]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for channel in self.channels:
            await channel.link.close()

    @property
    def vehicles(self) -> list[Vehicle]:
        """All vehicles, by link and system id."""
        return [channel.vehicles[n] for channel in self.channels for n in sorted(channel.vehicles)]

    async def connect(self, url: str, *, open_s: float = 3.0, heartbeat_s: float = 6.0) -> list[Vehicle]:
        """Opens a link and waits for its vehicles: one on TCP and serial, all that speak up on a shared UDP port.

        Args:
            url: See `flight.address`.
            open_s: How long to try to open it.
            heartbeat_s: How long to wait for the first heartbeat.

        Raises:
            LinkError: Refused, or open but silent.
        """
        address = parse_address(url)
        link = make_link(address)
        channel = Channel(link, self._key, self.speedup, (len(self.channels) + 1) & 0xFF)
        self.channels.append(channel)
        await link.open(open_s)
        channel.broadcast_heartbeat()
        try:
            async with asyncio.timeout(heartbeat_s):
                await channel.seen.wait()
        except TimeoutError:
            raise LinkError(self._silent(channel, url, heartbeat_s)) from None
        if address.kind == "udpin":
            await asyncio.sleep(_MORE_VEHICLES_S / self.speedup)
        return [channel.vehicles[n] for n in sorted(channel.vehicles)]

    def _silent(self, channel: Channel, url: str, waited_s: float) -> str:
        refused = sum(d.counts.unsigned + d.counts.bad_signature for d in channel.decoders)
        if refused:
            return f"{url}: {refused} frames with no signature or a wrong one: the vehicle does not have this key"
        if channel.link.counts.bytes_in == 0:
            return f"{url} is open but silent for {waited_s:g} s: is the vehicle on, and is this its telemetry port?"
        if sum(d.counts.packets for d in channel.decoders) == 0:
            return f"{url} sends bytes but no MAVLink: is the baud rate right?"
        return f"{url} speaks MAVLink but no autopilot sent a heartbeat in {waited_s:g} s"

    async def _beat(self) -> None:
        due_s = now_s()
        while True:
            for channel in self.channels:
                channel.broadcast_heartbeat()
            self.heartbeats_sent += 1
            due_s += self._interval_s
            wait_s = due_s - now_s()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            self.worst_heartbeat_late_s = max(self.worst_heartbeat_late_s, now_s() - due_s)
            if now_s() - due_s > 1.0:
                due_s = now_s()  # the machine slept: do not make up for missed beats in a burst

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            for vehicle in self.vehicles:
                vehicle.ping(now_s())
