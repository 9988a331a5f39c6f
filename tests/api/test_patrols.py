"""Registering, uploading and jobs over HTTP; the worker's functions beneath."""

from __future__ import annotations

import io
import zipfile
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from api.base import utcnow
from api.jobs import service as jobs
from api.jobs.models import Job
from api.patrols.service import uploads_of
from tests.api.rasters import jpeg
from tests.api.world import World


def upload(world: World, *files: tuple[str, bytes], patrol: str = "P1", sortie: str = ""):
    parts = [("files", (name, data, "application/octet-stream")) for name, data in files]
    return world.call("pilot", "POST", f"/patrols/{patrol}/frames", files=parts, data={"sortie": sortie})


@pytest.fixture
def patrol(either: World) -> World:
    assert either.call("pilot", "POST", "/patrols", json={"id": "P1", "name": "北园-01"}).status_code == 201
    return either


def test_bytes_are_kept_untouched_and_once(patrol: World) -> None:
    one, two = jpeg(seed=1), jpeg(seed=2)
    first = upload(patrol, ("DJI_0001.JPG", one), ("DJI_0001.JPG", two), sortie="P1/S01").json()
    assert len(first["stored"]) == 2 and not first["known"]
    assert upload(patrol, ("other.jpg", one)).json() == {"stored": [], "known": [first["stored"][0]]}
    folder = uploads_of(patrol.context.settings, "P1")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    assert {path.read_bytes() for path in files} == {one, two} and {path.parent.name for path in files} == {"S01"}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x.svg", b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"),
        ("x.jpg", b"<html><script>alert(1)</script></html>"),
        ("x.jpg", jpeg()[:2000]),
        ("x.jpg", b""),
        ("x.zip", b"PK\x03\x04" + bytes(100)),
    ],
)
def test_what_is_no_photograph_is_refused(patrol: World, name: str, data: bytes) -> None:
    answer = upload(patrol, ("good.jpg", jpeg()), (name, data))
    assert answer.status_code == 415 and answer.headers["content-type"] == "application/problem+json"
    with patrol.context.database.read() as session:
        from api.patrols.models import Frame

        assert session.query(Frame).count() == 0


def test_a_picture_that_unpacks_to_gigabytes_is_refused(patrol: World) -> None:
    out = io.BytesIO()
    Image.fromarray(np.zeros((1, 1), np.uint8)).save(out, "PNG")
    raw = bytearray(out.getvalue())
    raw[16:24] = (60000).to_bytes(4, "big") * 2
    answer = upload(patrol, ("bomb.png", bytes(raw)))
    assert answer.status_code == 415


def test_a_zip_in_a_jpegs_clothes_is_stored_as_the_jpeg_it_is_not(patrol: World) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("../../etc/x", "x")
    assert upload(patrol, ("a.jpg", out.getvalue())).status_code == 415


@pytest.mark.parametrize(
    "name", ["../../../evil.jpg", "..\\..\\evil.jpg", "/etc/evil.jpg", "a/../../evil.jpg", "...", "\u202e.jpg"]
)
def test_names_do_not_lead_out_of_the_folder(patrol: World, name: str) -> None:
    answer = upload(patrol, (name, jpeg()), sortie="../../x")
    assert answer.status_code == 201
    root = patrol.context.settings.data_dir
    outside = [
        path
        for path in root.parent.rglob("*.jpg")
        if not path.is_relative_to(uploads_of(patrol.context.settings, "P1"))
    ]
    assert outside == []


def test_paths_are_the_conductors(patrol: World, tmp_path: Path) -> None:
    body = {"id": "P2", "paths": {"mosaic": str(tmp_path / "m.tif")}}
    assert patrol.call("pilot", "POST", "/patrols", json=body).status_code == 403
    assert patrol.call("admin", "POST", "/patrols", json=body).status_code == 201
    assert (
        patrol.call("admin", "POST", "/patrols", json={"id": "P2", "paths": {"mosaic": "rel.tif"}}).status_code == 422
    )
    assert patrol.call("admin", "POST", "/patrols", json={"id": "../x"}).status_code == 422


def test_a_job_needs_photographs_and_is_one(patrol: World) -> None:
    assert patrol.call("pilot", "POST", "/patrols/P1/jobs").status_code == 409
    upload(patrol, ("a.jpg", jpeg()))
    first = patrol.call("pilot", "POST", "/patrols/P1/jobs")
    assert first.status_code == 202 and first.json()["state"] == "queued"
    again = patrol.call("pilot", "POST", "/patrols/P1/jobs").json()
    assert again["id"] == first.json()["id"]
    assert patrol.call("pilot", "GET", f"/jobs/{again['id']}").json()["state"] == "queued"


def new_job(world: World) -> str:
    with world.context.database.write() as session:
        return jobs.add_job(session, "process_patrol", patrol_id=None, actor="t").id


def test_one_of_two_workers_gets_a_job(either: World) -> None:
    job_id = new_job(either)
    write = either.context.database.write
    with write() as session:
        assert jobs.claim_job(session, job_id, "w1") is not None
    with write() as session:
        assert jobs.claim_job(session, job_id, "w2") is None
    with write() as session:
        assert jobs.progress(session, job_id, "w1", 3, 10, "拼图") and not jobs.heartbeat(session, job_id, "w2")
    with write() as session:
        assert not jobs.finish(session, job_id, {}, worker="w2") and jobs.finish(session, job_id, {"n": 1}, worker="w1")
    state = either.call("pilot", "GET", f"/jobs/{job_id}").json()
    assert (state["state"], state["result"], state["attempts"]) == ("done", {"n": 1}, 1)


def test_a_dead_workers_job_is_found_and_taken_over(either: World) -> None:
    job_id = new_job(either)
    write = either.context.database.write
    with write() as session:
        jobs.claim_job(session, job_id, "w1")
        session.get(Job, job_id).heartbeat_at = utcnow() - timedelta(seconds=120)  # type: ignore[union-attr]
    with write() as session:
        assert [job.id for job in jobs.unfinished_jobs(session)] == [job_id]
        taken = jobs.claim_job(session, job_id, "w2")
        assert taken is not None and taken.attempts == 2
    with write() as session:
        assert not jobs.heartbeat(session, job_id, "w1"), "the first worker must learn that it lost the job"


def test_a_worker_that_starts_again_gets_its_own_back_at_once(either: World) -> None:
    job_id = new_job(either)
    with either.context.database.write() as session:
        jobs.claim_job(session, job_id, "host-1")
    with either.context.database.write() as session:
        assert not jobs.unfinished_jobs(session)
        assert [job.id for job in jobs.unfinished_jobs(session, worker="host-1")] == [job_id]
        assert jobs.claim_job(session, job_id, "host-1") is not None


def test_a_job_that_kills_every_worker_is_given_up(either: World) -> None:
    job_id = new_job(either)
    for _ in range(jobs.MAX_ATTEMPTS):
        with either.context.database.write() as session:
            assert jobs.claim_job(session, job_id, "w") is not None
    with either.context.database.write() as session:
        assert jobs.claim_job(session, job_id, "w") is None
    state = either.call("pilot", "GET", f"/jobs/{job_id}").json()
    assert state["state"] == "failed" and "5 attempts" in state["error"]
    assert either.call("pilot", "POST", f"/jobs/{job_id}/retry").json()["state"] == "queued"


def test_cancel_stops_at_the_next_heartbeat(either: World) -> None:
    job_id = new_job(either)
    with either.context.database.write() as session:
        jobs.claim_job(session, job_id, "w")
    assert either.call("pilot", "POST", f"/jobs/{job_id}/cancel").status_code == 200
    with either.context.database.write() as session:
        assert not jobs.heartbeat(session, job_id, "w")
        jobs.fail(session, job_id, "stopped", worker="w")
    assert either.call("pilot", "GET", f"/jobs/{job_id}").json()["state"] == "cancelled"
