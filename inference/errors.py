"""The error tree of `inference`: every message says what was expected, what came, where, and what to do."""


class InferenceError(Exception):
    """Base of all errors that `inference` raises on purpose; the command line prints it in one line and exits 2."""
