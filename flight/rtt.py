"""Round-trip time of one vehicle, and the timeout that follows from it.

Jacobson and Karels' estimator (RFC 6298) with Karn's rule: an answer to something that was sent twice measures
nothing. MAVLink's fixed 1.5 s and 250 ms are too short for a satellite link and waste most of the time on a good one.
"""

from __future__ import annotations

import math

# Before the first measurement; the MAVLink guide's 1500 ms.
FIRST_TIMEOUT_S = 1.5
# A peer answers from its own loop (ArduPilot's GCS tasks run at 50..400 Hz): below this we only repeat ourselves.
LEAST_TIMEOUT_S = 0.06
MOST_TIMEOUT_S = 6.0


class RoundTrip:
    """Smoothed round-trip time and its deviation."""

    def __init__(self) -> None:
        self.smooth_s = math.nan
        self.deviation_s = math.nan
        self.samples = 0

    def add(self, sample_s: float) -> None:
        """Takes one measured round trip."""
        if not 0 <= sample_s < 60:
            return
        self.samples += 1
        if math.isnan(self.smooth_s):
            self.smooth_s, self.deviation_s = sample_s, sample_s / 2
            return
        self.deviation_s += 0.25 * (abs(sample_s - self.smooth_s) - self.deviation_s)
        self.smooth_s += 0.125 * (sample_s - self.smooth_s)

    def timeout_s(self, attempt: int = 0) -> float:
        """How long to wait for an answer.

        Grows with each failed attempt, by half and not by two: loss on a radio is noise, not congestion.
        """
        base = FIRST_TIMEOUT_S if math.isnan(self.smooth_s) else self.smooth_s + max(0.02, 4 * self.deviation_s)
        return min(MOST_TIMEOUT_S, max(LEAST_TIMEOUT_S, base) * 1.5 ** min(attempt, 6))
