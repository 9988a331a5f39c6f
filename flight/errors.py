"""The error tree of `flight`: every message says what was expected, what came, where, and what to do."""


class FlightError(Exception):
    """Base of all errors that `flight` raises on purpose; the command line prints it in one line and exits 2."""


class LinkError(FlightError):
    """A link cannot be opened, or nothing answers on it."""


class TransferError(FlightError):
    """A mission, fence, rally or file transfer failed or did not read back equal."""


class CommandError(FlightError):
    """A vehicle refused a command, or did not answer it."""


class PreflightError(FlightError):
    """A vehicle may not take off as it stands."""
