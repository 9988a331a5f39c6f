"""The error tree of `flight`: every message says what was expected, what came, where, and what to do."""


class FlightError(Exception):
    """Base of all errors that `flight` raises on purpose; the command line prints it in one line and exits 2."""
