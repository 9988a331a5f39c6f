"""Ports for fleets under test, so that runs side by side do not meet."""

import os
import random
import socket


def free_base_port(count: int) -> int:
    """A base port whose `count` ports, ten apart, are free at this moment."""
    source = random.Random(os.getpid() ^ random.getrandbits(30))
    for _ in range(200):
        base = source.randrange(20_000, 45_000, 10) + source.randrange(10)
        if all(_free(base + 10 * index) for index in range(count)):
            return base
    raise RuntimeError("no free ports between 20000 and 45000")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
