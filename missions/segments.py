"""Lines along pairs of lanes with the places where they may be cut, and sums along them for quick estimates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from missions.coverage import Strip
from missions.frame import Array
from missions.sorties import Pieces
from missions.tracks import Tracks

# Photographs between two places where a line may be cut: 59 m at 3 cm of a Mavic 3E.
_PHOTOS_PER_CELL = 2


@dataclass(frozen=True)
class Segment:
    """One line along a pair of lanes, in cells; plain lists, because searches read them number by number.

    Attributes:
        number: Of the segment.
        track: Number of its pair.
        across_m: Where the line lies across the lanes.
        at_m: (n + 1) where its cells begin and end, along; the same places on all segments, ends excepted.
        lanes_m: (n + 1) metres of lanes before each place.
        begun: (n + 1) lanes that begin before each place.
        running: (n + 1) lanes that go on through each place.
        odd_m: (n + 1) metres before each place along which one of the lanes has no partner.
    """

    number: int
    track: int
    across_m: float
    at_m: list[float]
    lanes_m: list[float]
    begun: list[int]
    running: list[int]
    odd_m: list[float]

    @property
    def cells(self) -> int:
        """How many."""
        return len(self.at_m) - 1

    def stretches(self, first: int, last: int) -> int:
        """Stretches of lanes between two places."""
        return self.running[first] + self.begun[last] - self.begun[first]


def segments_of(tracks: Tracks, strip: Strip) -> list[Segment]:
    """All lines of the pairs, cut at whole multiples of some photographs' distance along the frame's axis."""
    step = _PHOTOS_PER_CELL * strip.trigger_m
    found: list[Segment] = []
    for track in range(len(tracks.middle)):
        for low, high in tracks.spans(track):
            inner = np.arange(np.ceil(low / step + 0.5), np.floor(high / step - 0.5) + 1) * step
            at = np.concatenate([[low], inner, [high]])
            found.append(_segment(len(found), track, tracks, at))
    return found


def _segment(number: int, track: int, tracks: Tracks, at: Array) -> Segment:
    mine = (tracks.track == track) & (tracks.low < at[-1]) & (tracks.high > at[0])
    low, high = tracks.low[mine][:, None], tracks.high[mine][:, None]
    crumb = tracks.trigger_m  # shorter remains of a lane are left to the neighbour (Tracks.stretches)
    middle = (at[1:] + at[:-1]) / 2
    odd = ((low <= middle) & (high >= middle)).sum(axis=0) % 2
    begun = (low < at - crumb).sum(axis=0)
    begun[-1] = len(low)
    return Segment(
        number=number,
        track=track,
        across_m=float(tracks.middle[track]),
        at_m=at.tolist(),
        lanes_m=np.clip(at - low, 0.0, high - low).sum(axis=0).tolist(),
        begun=begun.tolist(),
        running=((low < at - crumb) & (high > at + crumb)).sum(axis=0).tolist(),
        odd_m=np.concatenate([[0.0], np.cumsum(odd * np.diff(at))]).tolist(),
    )


class Ownership:
    """Which sortie flies which cell of which segment, filled in from pieces of the pairs' lines.

    Attributes:
        owner: Of each segment, (cells,) numbers of sorties; -1 where nobody flies.
    """

    def __init__(self, tracks: Tracks, segments: list[Segment]) -> None:
        self._tracks = tracks
        self._segments = segments
        self._of_track: dict[int, list[Segment]] = {}
        for segment in segments:
            self._of_track.setdefault(segment.track, []).append(segment)
        self.owner: list[NDArray[np.int64]] = [np.full(one.cells, -1, dtype=np.int64) for one in segments]

    def give(self, pieces: Pieces, sortie: int) -> None:
        """Marks the cells whose middles lie in the pieces."""
        number, low, high = self._tracks.along(pieces)
        for track, a, b in zip(number.tolist(), low.tolist(), high.tolist(), strict=True):
            for segment in self._of_track.get(track, []):
                if segment.at_m[0] < b and segment.at_m[-1] > a:
                    at = np.array(segment.at_m)
                    middle = (at[1:] + at[:-1]) / 2
                    self.owner[segment.number][(middle >= a) & (middle <= b)] = sortie
