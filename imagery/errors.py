"""The error tree of `imagery`: every message says what was expected, what came, where, and what to do."""


class ImageryError(Exception):
    """Base of all errors that `imagery` raises on purpose; the command line prints it in one line and exits 2."""
