"""Frames whose keypoints have likes everywhere: told apart once the block says where to look."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from imagery.bundle import Knowledge, State, project_points
from imagery.features import Keypoints
from imagery.guided import guided_matches, predicted
from imagery.layout import look
from imagery.matching import match_pair
from imagery.tracks import Ties
from imagery.work import DescriptorStore

LENS = np.array([[1000.0, 499.5, 399.5, -0.02, 0.0, 0.0, 0.0]])
SIZE = np.array([1000.0, 800.0])


class Shelf(DescriptorStore):
    """Descriptors from memory."""

    def __init__(self, words: list[np.ndarray]) -> None:
        self._words = words

    def get(self, frame: int) -> np.ndarray:
        return self._words[frame]


def block(frames: int) -> tuple[State, Knowledge]:
    centre = np.column_stack([np.arange(frames) * 20.0, np.zeros(frames), np.full(frames, 80.0)])
    turn = np.array([look(0.05 * n) for n in range(frames)])
    state = State(turn, centre, LENS, np.zeros((0, 3)), np.zeros((1, 3)))
    know = Knowledge(
        lens_of=np.zeros(frames, np.int64), flight_of=np.zeros(frames, np.int64), gps=centre,
        gps_sigma=np.full((frames, 3), 0.5), R=turn, R_sigma=np.full((frames, 3), 0.05), lens=LENS,
        lens_sigma=np.ones((1, 7)), bias_sigma=np.ones((1, 3)), X=state.X, X_sigma=state.X, sure=np.zeros(0, bool),
    )  # fmt: skip
    return state, know


def seen(state: State, frame: int, ground: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of ground points in a frame, and which it shows."""
    camera = (ground - state.C[frame]) @ state.R[frame].T
    uv = project_points(camera, np.repeat(LENS, len(ground), 0))[0]
    return uv, ((uv > 0) & (uv < SIZE)).all(axis=1)


def test_predicted_places_are_where_the_ground_is_seen() -> None:
    state, know = block(2)
    ground = np.column_stack([np.random.default_rng(0).uniform(-20, 40, (50, 2)), np.zeros(50)])
    (one, in_one), (two, in_two) = seen(state, 0, ground), seen(state, 1, ground)
    both = in_one & in_two
    assert both.sum() > 10
    assert np.abs(predicted(state, know, (0, 1), one[both], 0.0) - two[both]).max() < 0.1


def test_what_repeats_is_matched_by_its_place(tmp_path: Path) -> None:
    """Ninety places on the ground that look like only thirty different things."""
    state, know = block(3)
    rng = np.random.default_rng(1)
    ground = np.column_stack([rng.uniform(-20, 60, 90), rng.uniform(-25, 25, 90), np.zeros(90)])
    looks = np.repeat(np.abs(rng.normal(0, 1, (30, 128))), 3, axis=0)
    points, words, which = [], [], []
    for frame in range(3):
        uv, inside = seen(state, frame, ground)
        vectors = looks[inside] + rng.normal(0, 0.03, (int(inside.sum()), 128))
        words.append((vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32))
        which.append(np.flatnonzero(inside))
        xy = (uv[inside] + rng.normal(0, 0.3, (int(inside.sum()), 2))).astype(np.float32)
        points.append(Keypoints(xy, np.zeros((len(xy), 3), np.uint8), 1.0))
    store = Shelf(words)
    assert match_pair((0, 1), points[0], points[1], store) is None
    none = np.zeros(0, np.int64)
    ties = Ties(none, none, np.zeros((0, 2)), np.zeros(0), np.zeros((0, 3), np.uint8))
    moved = replace(state, C=state.C + rng.normal(0, 0.3, (3, 3)))
    found = guided_matches(moved, know, ties, points, store, [], 0.0)
    assert {match.pair for match in found} >= {(0, 1), (1, 2)}
    for match in found:
        right = which[match.pair[0]][match.index[:, 0]] == which[match.pair[1]][match.index[:, 1]]
        assert right.mean() > 0.9


def test_frames_that_hang_on_well_are_left_alone() -> None:
    state, know = block(2)
    frame = np.repeat([0, 1], 60)
    ties = Ties(frame, np.tile(np.arange(60), 2), np.zeros((120, 2)), np.ones(120), np.zeros((120, 3), np.uint8))
    assert guided_matches(state, know, ties, [], Shelf([]), [], 0.0) == []


def test_strangers_do_not_match_for_being_looked_at_twice() -> None:
    state, know = block(2)
    rng = np.random.default_rng(2)
    points, words = [], []
    for _ in range(2):
        points.append(Keypoints(rng.uniform(0, SIZE, (800, 2)).astype(np.float32), np.zeros((800, 3), np.uint8), 4.0))
        vectors = np.abs(rng.normal(0, 1, (800, 128)))
        words.append((vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32))
    none = np.zeros(0, np.int64)
    ties = Ties(none, none, np.zeros((0, 2)), np.zeros(0), np.zeros((0, 3), np.uint8))
    assert guided_matches(state, know, ties, points, Shelf(words), [], 0.0) == []
