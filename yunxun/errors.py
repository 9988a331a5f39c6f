"""The error tree of `yunxun`: every message says what was expected, what came, where, and what to do."""


class YunxunError(Exception):
    """Base of all errors that `yunxun` raises on purpose; the command line prints it in one line and exits 2."""
