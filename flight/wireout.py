"""Messages to bytes: pymavlink packs them, we count the sequence and sign."""

from __future__ import annotations

from typing import Any

from fastcrc import crc16
from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flight.signing import Signer
from flight.wire import SIGNED_FLAG


class Encoder:
    """Packs messages of one sender on one link."""

    def __init__(self, system: int, component: int, signer: Signer | None = None) -> None:
        self.system = system
        self.component = component
        self._signer = signer
        self._packer = mavlink.MAVLink(None, srcSystem=system, srcComponent=component)

    def encode(self, message: Any) -> bytes:
        """The frame of a pymavlink message, signed where this link signs."""
        frame: bytes = message.pack(self._packer)
        self._packer.seq = (self._packer.seq + 1) % 256
        if self._signer is None:
            return frame
        # The signed flag is under the checksum, so it is set first and the checksum made again.
        flagged = bytearray(frame[:-2])
        flagged[2] |= SIGNED_FLAG
        checksum = crc16.mcrf4xx(bytes([message.crc_extra]), crc16.mcrf4xx(bytes(flagged[1:])))
        signed = bytes(flagged) + checksum.to_bytes(2, "little")
        return signed + self._signer.trailer(signed)
