"""One transport to one or many vehicles: TCP, UDP or serial, opened again with backoff for as long as it is wanted.

The seam where the outside begins: `LossyLink` in the tests and the real ones here offer the same three verbs. A link
knows bytes and peers, not MAVLink; a peer is the other end's address on UDP, so that one port serves many vehicles.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import termios
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flight.address import Address
from flight.clock import now_s
from flight.errors import LinkError

Peer = Any
"""Identity of the other end: None on TCP and serial, (host, port) on UDP."""

# Backoff of a lost link: quick enough for a radio that blinks, slow enough for a vehicle that reboots (~10 s).
_BACKOFF_FIRST_S = 0.25
_BACKOFF_LAST_S = 5.0


@dataclass
class LinkCounts:
    """Traffic of one link."""

    bytes_in: int = 0
    bytes_out: int = 0
    opened: int = 0
    dropped_out: int = 0


class Link:
    """Base of all links; subclasses open a transport in `_open` and call `_received` and `_closed`."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.counts = LinkCounts()
        self.is_open = False
        self.on_data: Callable[[bytes, Peer], None] = lambda data, peer: None
        self.on_open: Callable[[], None] = lambda: None
        self._lost = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    async def open(self, wait_s: float) -> None:
        """Opens it, trying for `wait_s`, and keeps it open until `close`.

        Raises:
            LinkError: It could not be opened in that time.
        """
        until = now_s() + wait_s
        delay = _BACKOFF_FIRST_S
        while True:
            try:
                await self._open()
                break
            except OSError as error:
                if now_s() + delay > until:
                    raise LinkError(self._refused(error)) from error
            await asyncio.sleep(delay)
            delay = min(delay * 2, 1.0)
        self._opened()
        self._keeper = asyncio.create_task(self._keep_open())

    async def close(self) -> None:
        """Closes it for good."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None
        self.is_open = False
        self._shut()

    def send(self, data: bytes, peer: Peer = None) -> None:
        """Sends without waiting; what cannot go is dropped and counted, as on any radio."""
        if not self.is_open:
            self.counts.dropped_out += 1
            return
        self.counts.bytes_out += len(data)
        self._write(data, peer)

    def _refused(self, error: OSError) -> str:
        reason = os.strerror(error.errno) if error.errno else str(error)
        return f"no vehicle at {self.address}: {reason}; start it, or correct the address and port"

    def _opened(self) -> None:
        self.is_open = True
        self.counts.opened += 1
        self._lost.clear()
        self.on_open()

    def _received(self, data: bytes, peer: Peer) -> None:
        self.counts.bytes_in += len(data)
        self.on_data(data, peer)

    def _closed(self) -> None:
        self.is_open = False
        self._lost.set()

    async def _keep_open(self) -> None:
        while True:
            await self._lost.wait()
            delay = _BACKOFF_FIRST_S
            while not self.is_open:
                await asyncio.sleep(delay)
                try:
                    await self._open()
                except OSError:
                    delay = min(delay * 2, _BACKOFF_LAST_S)
                else:
                    self._opened()

    async def _open(self) -> None:
        raise NotImplementedError

    def _write(self, data: bytes, peer: Peer) -> None:
        raise NotImplementedError

    def _shut(self) -> None:
        raise NotImplementedError


class TcpLink(Link):
    """A TCP client, as to ArduPilot SITL."""

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self._transport: asyncio.Transport | None = None

    async def _open(self) -> None:
        link = self

        class Stream(asyncio.Protocol):
            def data_received(self, data: bytes) -> None:
                link._received(data, None)

            def connection_lost(self, exc: Exception | None) -> None:
                link._closed()

        loop = asyncio.get_running_loop()
        connecting = loop.create_connection(Stream, self.address.host, self.address.port)
        try:
            self._transport, _ = await asyncio.wait_for(connecting, 5.0)
        except TimeoutError as error:
            raise OSError("the connection timed out") from error

    def _write(self, data: bytes, peer: Peer) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _shut(self) -> None:
        if self._transport is not None:
            self._transport.close()


class UdpLink(Link):
    """UDP: a listening port with as many vehicles as send to it, or a client of one."""

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self._transport: asyncio.DatagramTransport | None = None

    async def _open(self) -> None:
        link = self

        class Datagrams(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: Any) -> None:
                link._received(data, addr)

            def connection_lost(self, exc: Exception | None) -> None:
                link._closed()

        loop = asyncio.get_running_loop()
        here = (self.address.host, self.address.port)
        if self.address.kind == "udpin":
            self._transport, _ = await loop.create_datagram_endpoint(Datagrams, local_addr=here)
        else:
            self._transport, _ = await loop.create_datagram_endpoint(Datagrams, remote_addr=here)

    def _write(self, data: bytes, peer: Peer) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self.address.kind == "udpout":
            self._transport.sendto(data)
        elif peer is not None:
            self._transport.sendto(data, peer)

    def _shut(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _refused(self, error: OSError) -> str:
        reason = os.strerror(error.errno) if error.errno else str(error)
        return f"cannot listen on {self.address}: {reason}; is another ground station running? take another port"


class SerialLink(Link):
    """A serial line through termios: a telemetry radio or a USB cable."""

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self._fd = -1

    async def _open(self) -> None:
        fd = os.open(self.address.host, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            self._set_raw(fd)
        except (termios.error, LinkError):
            os.close(fd)
            raise
        self._fd = fd
        asyncio.get_running_loop().add_reader(fd, self._readable)

    def _set_raw(self, fd: int) -> None:
        speed = getattr(termios, f"B{self.address.port}", None)
        if speed is None:
            raise LinkError(f"{self.address}: {self.address.port} is not a baud rate of a serial line")
        attributes = termios.tcgetattr(fd)
        control = termios.CS8 | termios.CREAD | termios.CLOCAL
        attributes[:6] = [0, 0, control, 0, speed, speed]
        termios.tcsetattr(fd, termios.TCSANOW, attributes)

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, 4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._received(data, None)
        else:
            self._shut()
            self._closed()

    def _write(self, data: bytes, peer: Peer) -> None:
        try:
            written = os.write(self._fd, data)
        except BlockingIOError:
            written = 0
        except OSError:
            self._shut()
            self._closed()
            return
        if written < len(data):
            self.counts.dropped_out += 1

    def _shut(self) -> None:
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1


def make_link(address: Address) -> Link:
    """The link for an address; call `open` on it in a running event loop."""
    if address.kind == "tcp":
        return TcpLink(address)
    if address.kind == "serial":
        return SerialLink(address)
    return UdpLink(address)
