"""The error tree of `simulators`: every message says what was expected, what came, where, and what to do."""


class SimulatorError(Exception):
    """Base of all errors that `simulators` raises on purpose; the command line prints it in one line and exits 2."""
