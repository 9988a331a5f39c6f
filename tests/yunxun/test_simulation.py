"""What simulated cameras see, by its name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yunxun.errors import YunxunError
from yunxun.simulation import GroundSpec, free_ports


@given(
    st.integers(0, 10**6), st.integers(0, 9), st.floats(-179, 179).map(lambda v: round(v, 5)),
    st.floats(-80, 80).map(lambda v: round(v, 5)), st.integers(100, 2000),
)  # fmt: skip
def test_a_spec_reads_back_as_it_is_written(seed: int, day: int, lon: float, lat: float, size: int) -> None:
    spec = GroundSpec(seed=seed, day=day, centre=(lon, lat), size_m=(float(size), float(size)))
    assert GroundSpec.parse(str(spec)) == spec


def test_a_town_needs_no_place_of_its_own() -> None:
    assert GroundSpec.parse("town:7") == GroundSpec(seed=7)
    assert GroundSpec.parse("town:7:1") == GroundSpec(seed=7, day=1)


def test_neither_a_town_nor_a_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(YunxunError, match="expected town:SEED"):
        GroundSpec.parse(str(tmp_path / "none.tif"))


def test_a_town_is_put_under_the_routes(tmp_path: Path) -> None:
    line = {"type": "LineString", "coordinates": [[118.35, 35.05], [118.354, 35.05], [118.354, 35.052]]}
    routes = {"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {}, "geometry": line}]}
    (tmp_path / "routes.geojson").write_text(json.dumps(routes))
    spec = GroundSpec.parse("town:3").under(tmp_path)
    assert spec.centre == pytest.approx((118.352, 35.051))
    assert spec.size_m is not None
    # 364 m by 221 m of routes, 20 m more on each side, in steps of 50 m.
    assert spec.size_m == (450.0, 300.0)


def test_free_ports_steps_over_what_is_taken() -> None:
    import socket

    base = free_ports(2)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", base))
        taken.listen()
        assert free_ports(2, first=base) != base
