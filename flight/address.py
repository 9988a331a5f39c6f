"""Where a vehicle is reached: one grammar for TCP, UDP and serial, that of MAVProxy, DroneKit and MAVSDK alike."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from flight.errors import LinkError

Kind = Literal["tcp", "udpin", "udpout", "serial"]
_KINDS: dict[str, Kind] = {
    "tcp": "tcp", "tcpout": "tcp", "udp": "udpin", "udpin": "udpin", "udpout": "udpout", "serial": "serial",
}  # fmt: skip
_DEFAULT_BAUD = 57600
_EXPECTED = "tcp:HOST:PORT, udpin:HOST:PORT, udpout:HOST:PORT or serial:/dev/ttyUSB0:57600"


@dataclass(frozen=True)
class Address:
    """A parsed link address; `port` is the baud rate of a serial line."""

    kind: Kind
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.kind}:{self.host}:{self.port}"


def parse_address(url: str) -> Address:
    """Reads `tcp:127.0.0.1:5760`, `tcp://…`, `udpin:0.0.0.0:14550`, `udpout:…`, `serial:/dev/ttyACM0:115200`, `/dev/…`.

    `udp:` listens, as in MAVProxy.

    Raises:
        LinkError: Not one of these.
    """
    text = url.strip()
    if text.startswith("/dev/"):
        text = "serial:" + text.replace(",", ":")
    scheme, _, rest = text.partition(":")
    kind = _KINDS.get(scheme.lower())
    rest = rest if kind == "serial" else rest.removeprefix("//")
    if kind == "serial":
        device, _, baud = rest.removeprefix("//").partition(":")
        if device and re.fullmatch(r"\d*", baud):
            return Address("serial", device, int(baud or _DEFAULT_BAUD))
    elif kind is not None:
        host, _, port = rest.rpartition(":")
        if host and port.isdigit() and 0 < int(port) < 65536:
            return Address(kind, host.strip("[]"), int(port))
    raise LinkError(f"{url!r} is not a link address: expected {_EXPECTED}")
