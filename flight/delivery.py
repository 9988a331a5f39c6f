"""A list on a vehicle, for sure: uploaded, read back, compared; by file where the vehicle offers it, else item by item.

The fast path is MAVFTP `@MISSION/*.dat`: a whole plan in a few large pieces. Whatever goes wrong with it, the item
protocol, which every autopilot speaks, is gone back to, and stays with that vehicle.
"""

from __future__ import annotations

from collections.abc import Sequence

from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flight import planfile
from flight.errors import TransferError
from flight.items import TYPE_NAMES, WireItem, first_difference
from flight.mavftp import FtpFiles
from flight.transfer import Progress, download, upload
from flight.vehicle import Vehicle

_WHOLE_TRIES = 4


def _nothing(done: int, total: int, what: str) -> None:
    return


async def offers_files(vehicle: Vehicle) -> bool:
    """Whether it is an ArduPilot that says it speaks MAVFTP; asked once a vehicle."""
    if vehicle.files_offered is None:
        heartbeat = vehicle.state.heartbeat
        ardupilot = heartbeat is not None and heartbeat.autopilot == mavlink.MAV_AUTOPILOT_ARDUPILOTMEGA
        version = await vehicle.request(mavlink.MAVLINK_MSG_ID_AUTOPILOT_VERSION, tries=8) if ardupilot else None
        bits = version.fields.capabilities if version is not None else 0
        vehicle.files_offered = bool(bits & mavlink.MAV_PROTOCOL_CAPABILITY_FTP)
    return vehicle.files_offered


async def read_list(vehicle: Vehicle, mission_type: int, progress: Progress = _nothing) -> list[WireItem]:
    """Reads a vehicle's list, by file where offered.

    Raises:
        TransferError: No answer, or no progress, on either way.
    """
    if await offers_files(vehicle):
        name, size = planfile.NAMES[mission_type], 38
        try:
            with FtpFiles(vehicle) as files:
                what = f"{TYPE_NAMES[mission_type]} read back"
                data = await files.read(name, lambda at: progress(at // size, max(at // size, 1), what))
            return planfile.decode(data, mission_type)
        except TransferError:
            vehicle.files_offered = False
    return await download(vehicle, mission_type, progress)


async def write_list(
    vehicle: Vehicle, items: Sequence[WireItem], mission_type: int, progress: Progress = _nothing
) -> None:
    """Sends a list, by file where offered; it is on the vehicle only when `read_list` gives it back.

    Raises:
        TransferError: Refused, or no progress; the vehicle's old list may be incomplete then.
    """
    if items and await offers_files(vehicle):
        data = planfile.encode(items, mission_type, vehicle.system_id, vehicle.component_id)
        what = f"{TYPE_NAMES[mission_type]} upload"
        try:
            with FtpFiles(vehicle) as files:
                await files.write(
                    planfile.NAMES[mission_type], data,
                    lambda at: progress(at * len(items) // len(data), len(items), what),
                )  # fmt: skip
            progress(len(items), len(items), f"{TYPE_NAMES[mission_type]} sent")
            return
        except TransferError:
            vehicle.files_offered = False
    await upload(vehicle, items, mission_type, progress)


async def upload_verified(
    vehicle: Vehicle,
    items: Sequence[WireItem],
    mission_type: int,
    progress: Progress = _nothing,
    *,
    keep_old: bool = True,
) -> None:
    """Uploads, reads back, compares; on failure puts the vehicle's old list back.

    Raises:
        TransferError: It failed; the message says whether the old list is back.
    """
    name = TYPE_NAMES[mission_type]
    old = await read_list(vehicle, mission_type) if keep_old else []
    if not first_difference(items, old, mission_type):
        return
    try:
        what = ""
        for _ in range(_WHOLE_TRIES):
            await write_list(vehicle, items, mission_type, progress)
            what = first_difference(items, await read_list(vehicle, mission_type, progress), mission_type)
            if not what:
                return
            # What went wrong by file is tried item by item.
            vehicle.files_offered = False
        raise TransferError(f"{vehicle.name}: the {name} did not read back equal after {_WHOLE_TRIES} uploads: {what}")
    except TransferError as error:
        if not old:
            raise
        raise TransferError(f"{error}; {await _restore(vehicle, old, mission_type)}") from error


async def _restore(vehicle: Vehicle, old: Sequence[WireItem], mission_type: int) -> str:
    try:
        await write_list(vehicle, old, mission_type)
        if not first_difference(old, await read_list(vehicle, mission_type), mission_type):
            return f"its old {TYPE_NAMES[mission_type]} is back"
    except TransferError:
        pass
    return f"its old {TYPE_NAMES[mission_type]} could not be put back: do not fly it before a new upload"
