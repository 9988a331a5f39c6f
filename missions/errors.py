"""The error tree of `missions`: every message says what was expected, what came, where, and what to do."""


class MissionsError(Exception):
    """Base of all errors that `missions` raises on purpose; the command line prints it in one line and exits 2."""
