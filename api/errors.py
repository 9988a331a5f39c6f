"""The error tree of `api`: every message says what was expected, what came, where, and what to do."""


class ApiError(Exception):
    """Base of all errors that `api` raises on purpose; the command line prints it in one line and exits 2."""
