import math

import numpy as np
import pytest
from pyproj import Transformer

from simulators.changes import Changes
from simulators.errors import SimulatorError
from simulators.survey import CAMERA_2MP, Errors, survey, write_patrol
from simulators.town import build_town


@pytest.fixture(scope="module")
def town():
    return build_town(6, size_m=(160.0, 120.0))


def _metres(town, shots) -> tuple[np.ndarray, np.ndarray]:
    project = Transformer.from_crs(4326, town.crs, always_xy=True).transform
    true = np.array([project(s.true_lon, s.true_lat) for s in shots])
    told = np.array([project(s.lon, s.lat) for s in shots])
    return true, told


def test_lanes_cover_the_town_with_the_overlap_asked(town) -> None:
    shots = survey(town, gsd_m=0.1, errors=Errors.none())
    true, told = _metres(town, shots)
    assert np.abs(true - told).max() < 1e-3
    local = true - np.array(town.origin)
    assert np.ptp(local[:, 0]) >= 160
    assert np.ptp(local[:, 1]) >= 120
    height = CAMERA_2MP.height_for_gsd_m(0.1)
    steps = np.hypot(*np.diff(local, axis=0).T)
    assert np.median(steps) == pytest.approx(CAMERA_2MP.trigger_m(height, 0.75), rel=0.05)
    assert {s.camera_pitch_deg for s in shots} == {-90.0}
    assert len({s.file for s in shots}) == len(shots)


@pytest.mark.parametrize(("errors", "spread"), [(Errors.plain(2.0), 2.0), (Errors.rtk(0.02), 0.02)])
def test_receivers_err_as_they_say(town, errors: Errors, spread: float) -> None:
    true, told = _metres(town, survey(town, gsd_m=0.014, errors=errors, seed=3, most=900))
    off = (told - true).std(axis=0)
    assert len(true) > 500
    assert np.all(off > 0.5 * spread)
    assert np.all(off < 1.5 * spread)
    # Mostly slow: neighbours err alike.
    step = np.diff(told - true, axis=0).std(axis=0)
    assert np.all(step < 1.3 * off)
    assert math.isclose(np.hypot(errors.noise_h_m, errors.drift_h_m), spread, rel_tol=0.05)


def test_the_same_seed_flies_the_same(town) -> None:
    assert survey(town, seed=4, most=7) == survey(town, seed=4, most=7)
    assert survey(town, seed=4, most=7) != survey(town, seed=5, most=7)


def test_days_go_on(town) -> None:
    first = town.day(1, changes=Changes(1, garbage=2, buildings=1, smallest_m2=10, largest_m2=30))
    second = first.then(2, Changes(2, garbage=1), cleared=[first.changes[1].number])
    assert [c.day for c in second.changes] == [1, 1, 2]
    assert len({c.number for c in second.changes}) == 3
    assert all(a.polygon.distance(b.polygon) > 3 for a in second.changes[:2] for b in second.changes[2:])


def test_building_sites_grow_by_stages_with_a_permit() -> None:
    town = build_town(10, size_m=(160.0, 160.0))
    day = town.day(1, changes=Changes(3, stages=1))
    [change] = day.changes
    assert change.permitted
    assert change.permit is not None
    assert change.permit.contains(change.polygon)
    assert any(slab.polygon.contains(change.polygon) for slab in town.things.slabs)
    with pytest.raises(SimulatorError, match="no open foundation"):
        town.day(1, changes=Changes(3, stages=1 + len(town.things.slabs)))


@pytest.mark.slow
def test_a_patrol_folder_has_two_days_and_a_truth(tmp_path) -> None:
    folder = write_patrol(tmp_path / "p", 9001, size_m=(60.0, 60.0), gsd_m=0.15, processes=1,
                          changes=Changes(1, garbage=1, lenient=True))  # fmt: skip
    assert len(list((folder / "day0/frames/S01").glob("*.JPG"))) >= 4
    assert (folder / "day1/truth.geojson").exists()
    assert (folder / "area.geojson").exists()
