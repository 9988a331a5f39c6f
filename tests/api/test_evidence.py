"""Evidence, dossiers and roots: what was changed is found, offline."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sqlalchemy import text

from api.base import utcnow
from api.errors import ApiError, NotFoundError
from api.evidence import merkle
from api.evidence.dossier import verify_dossier
from api.evidence.signing import public_key
from api.evidence.store import FolderStore, Store, open_store
from tests.api.rasters import jpeg, mosaic
from tests.api.world import World, feature


@pytest.fixture
def filed(either: World, tmp_path: Path) -> tuple[World, str]:
    frames = tmp_path / "frames"
    frames.mkdir()
    (frames / "a.jpg").write_bytes(jpeg(seed=4))
    paths = {
        "mosaic": str(mosaic(tmp_path / "after.tif", bright=True, side_px=512)),
        "baseline": str(mosaic(tmp_path / "before.tif", bright=False, side_px=512)),
        "frames": str(frames),
    }
    body = {"id": "P1", "paths": paths, "pilot": "王磊", "aircraft": "M30-1", "approval_no": "LY2026-118"}
    assert either.call("admin", "POST", "/patrols", json=body).status_code == 201
    either.file(feature(frames=[{"id": "0" * 64, "file": "a.jpg", "bbox_px": [100, 100, 180, 160]}]))
    return either, either.accept("P1/1")["id"]


def dossier(world: World, case: str, folder: Path) -> Path:
    answer = world.call("officer", "GET", f"/cases/{case}/dossier")
    assert answer.status_code == 200, answer.text
    path = folder / "dossier.zip"
    path.write_bytes(answer.content)
    return path


def test_originals_are_untouched_and_pictures_name_their_parents(filed: tuple[World, str]) -> None:
    world, case = filed
    items = {item["name"]: item for item in world.call("officer", "GET", f"/cases/{case}/evidence").json()}
    assert set(items) == {"original-1", "after", "before", "map", "frame-1-overview", "frame-1-detail"}
    original = jpeg(seed=4)
    assert items["original-1"]["sha256"] == hashlib.sha256(original).hexdigest()
    assert items["frame-1-detail"]["parent"] == items["original-1"]["sha256"]
    assert all(item["size_bytes"] <= 1_000_000 for item in items.values())
    again = world.call("officer", "GET", f"/cases/{case}/evidence").json()
    assert len(again) == 6
    assert [event["type"] for event in world.feed("platform")] == ["case.filed", "case.evidence"]
    shown = world.call("platform", "GET", f"/cases/{case}/evidence/after.jpg")
    assert Image.open(io.BytesIO(shown.content)).size[0] == 900


def test_an_original_is_read_with_a_reason_on_record(filed: tuple[World, str]) -> None:
    world, case = filed
    items = {item["name"]: item for item in world.call("officer", "GET", f"/cases/{case}/evidence").json()}
    sha = items["original-1"]["sha256"]
    assert world.call("officer", "GET", f"/evidence/{sha}").status_code == 422
    assert world.call("reviewer", "GET", f"/evidence/{sha}?reason=x").status_code == 403
    assert world.call("officer", "GET", f"/cases/{case}/evidence/original-1.jpg").status_code == 404
    answer = world.call("officer", "GET", f"/evidence/{sha}", params={"reason": "行政复议取证"})
    assert answer.content == jpeg(seed=4)
    with world.context.database.read() as session:
        rows = session.execute(text("SELECT actor, reason FROM audit WHERE action = 'evidence.read'")).all()
    assert [tuple(row) for row in rows] == [("officer-1", "行政复议取证")]


def test_a_dossier_proves_itself_offline(filed: tuple[World, str], tmp_path: Path) -> None:
    world, case = filed
    path = dossier(world, case, tmp_path)
    key = public_key(world.context.settings)
    assert verify_dossier(path) == [] and verify_dossier(path, key) == []
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        pdf = archive.read("案卷.pdf")
    assert {"case.json", "events.json", "pictures/after.jpg", "manifest.json", "signature.json"} <= names
    assert pdf.startswith(b"%PDF") and len(pdf) > 20_000
    assert any("another installation" in wrong for wrong in verify_dossier(path, bytes(32)))


def _rewritten(path: Path, name: str, change, to: Path) -> Path:
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(to, "w") as out:
        for item in source.namelist():
            data = source.read(item)
            out.writestr(item, change(data) if item == name else data)
    return to


def refused(path: Path, key: bytes | None = None) -> bool:
    try:
        return bool(verify_dossier(path, key))
    except ApiError:
        return True


def test_a_change_of_any_part_is_found(filed: tuple[World, str], tmp_path: Path) -> None:
    world, case = filed
    path = dossier(world, case, tmp_path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    assert len(parts) >= 12
    assert not refused(_zipped(parts, tmp_path / "same.zip"))
    for name, data in parts.items():
        middle = len(data) // 2
        flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        assert refused(_zipped({**parts, name: flipped}, tmp_path / "flipped.zip")), f"a bit of {name}"
        without = {other: kept for other, kept in parts.items() if other != name}
        assert refused(_zipped(without, tmp_path / "without.zip")), f"{name} taken out"
    assert refused(_zipped({**parts, "pictures/more.jpg": parts["pictures/after.jpg"]}, tmp_path / "more.zip"))


def test_who_hashes_everything_anew_is_found_by_the_chains(filed: tuple[World, str], tmp_path: Path) -> None:
    """The content must fit the history even where every hash and the signature were made anew by a forger."""
    world, case = filed
    path = dossier(world, case, tmp_path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    events = json.loads(parts["events.json"])
    assert not refused(_signed_anew(parts, tmp_path / "same.zip"))

    def forged(**changed: object) -> bool:
        told = {name.replace("_json", ".json"): json.dumps(value).encode() for name, value in changed.items()}
        return refused(_signed_anew({**parts, **told}, tmp_path / "forged.zip"))

    assert forged(case_json={**json.loads(parts["case.json"]), "address": "别处"})
    assert forged(events_json=events[:-1]), "the last event left out: its pictures are told nowhere"
    assert forged(events_json=events[::-1])
    assert forged(events_json=[{**events[0], "actor": "somebody"}, *events[1:]])
    assert forged(candidate_events_json=json.loads(parts["candidate_events.json"])[:-1])
    other = {**parts, "pictures/after.jpg": parts["pictures/before.jpg"]}
    assert refused(_signed_anew(other, tmp_path / "forged.zip"))
    assert refused(_signed_anew(parts, tmp_path / "forged.zip"), public_key(world.context.settings))


def _zipped(parts: dict[str, bytes], to: Path) -> Path:
    with zipfile.ZipFile(to, "w") as out:
        for name, data in parts.items():
            out.writestr(name, data)
    return to


def _signed_anew(parts: dict[str, bytes], to: Path) -> Path:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    private = Ed25519PrivateKey.generate()
    kept = {name: data for name, data in parts.items() if name not in ("manifest.json", "signature.json")}
    manifest = {
        **json.loads(parts["manifest.json"]),
        "files": {n: hashlib.sha256(d).hexdigest() for n, d in kept.items()},
    }
    signed = json.dumps(manifest).encode()
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    told = json.dumps({"ed25519": private.sign(signed).hex(), "key": public.hex()}).encode()
    return _zipped({**kept, "manifest.json": signed, "signature.json": told}, to)


def test_an_unfiled_photograph_is_read_with_a_reason_on_record(filed: tuple[World, str]) -> None:
    world, _ = filed
    path = "/candidates/P1/1/originals/1"
    assert world.call("officer", "GET", path).status_code == 422
    assert world.call("reviewer", "GET", path, params={"reason": "x"}).status_code == 403
    assert world.call("officer", "GET", path, params={"reason": "  "}).status_code == 400
    assert world.call("officer", "GET", "/candidates/P1/1/originals/2", params={"reason": "x"}).status_code == 404
    answer = world.call("officer", "GET", path, params={"reason": "核对车辆"})
    assert answer.content == jpeg(seed=4) and answer.headers["x-content-type-options"] == "nosniff"
    with world.context.database.read() as session:
        rows = session.execute(text("SELECT actor, subject, reason FROM audit WHERE action = 'photo.read'")).all()
    assert [tuple(row) for row in rows] == [("officer-1", hashlib.sha256(jpeg(seed=4)).hexdigest(), "核对车辆")]


def test_a_resigned_forgery_is_found_by_the_pinned_key(filed: tuple[World, str], tmp_path: Path) -> None:
    """Whoever rewrites everything has to sign with a key of their own."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    world, case = filed
    path = dossier(world, case, tmp_path)
    private = Ed25519PrivateKey.generate()
    with zipfile.ZipFile(path) as source:
        manifest = source.read("manifest.json")
    forged = json.dumps(
        {
            "ed25519": private.sign(manifest).hex(),
            "key": private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex(),
        }
    ).encode()
    other = _rewritten(path, "signature.json", lambda data: forged, tmp_path / "forged.zip")
    assert verify_dossier(other) == []
    assert verify_dossier(other, public_key(world.context.settings))


@pytest.mark.parametrize("data", [b"", b"PK", b"x" * 1000])
def test_what_is_no_dossier(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(data)
    with pytest.raises(ApiError):
        verify_dossier(path)


def test_a_rewritten_history_is_seen(filed: tuple[World, str]) -> None:
    world, case = filed
    assert world.call("officer", "GET", f"/cases/{case}/events").json()["intact"] is True
    with world.context.database.write() as session:
        session.execute(
            text("UPDATE events SET data = replace(data, 'filed', 'fileD') WHERE subject = :s AND chain_n = 1"),
            {"s": case},
        )
    assert world.call("officer", "GET", f"/cases/{case}/events").json()["intact"] is False


def test_days_are_closed_once_signed_and_joined(filed: tuple[World, str], tmp_path: Path) -> None:
    world, case = filed
    assert world.call("officer", "POST", "/roots/close").json() == []
    back = (utcnow() - timedelta(days=3)).isoformat(sep=" ")
    with world.context.database.write() as session:
        # A day that is over: the events are moved there (their hashes no longer fit their times, the roots do).
        session.execute(text("UPDATE events SET time = :t"), {"t": back.replace("+00:00", "")})
    roots = world.call("officer", "POST", "/roots/close").json()
    assert len(roots) >= 2 and roots[0]["chains"] == 2 and roots[1]["previous"] == roots[0]["root"]
    assert world.call("officer", "POST", "/roots/close").json() == []
    found = world.call("platform", "GET", f"/roots/{roots[0]['day']}").json()
    assert found == roots[0]
    key = public_key(world.context.settings)
    with world.context.database.read() as session:
        from datetime import date

        proof = merkle.proof(session, case, date.fromisoformat(roots[0]["day"]))
    assert proof is not None
    assert merkle.proof_holds(case, proof, {proof["chain_n"]: proof["head"]}, key)
    assert not merkle.proof_holds(case, proof, {proof["chain_n"]: "0" * 64}, key)
    assert not merkle.proof_holds("other", proof, {proof["chain_n"]: proof["head"]}, key)


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40, unique=True))
def test_every_leaf_climbs_to_the_root(leaves: list[bytes]) -> None:
    root = merkle.root_of(leaves)
    for index, one in enumerate(leaves):
        assert merkle.climb(one, merkle.path_of(leaves, index)) == root
    if len(leaves) > 1:
        assert merkle.climb(b"x" * 32, merkle.path_of(leaves, 0)) != root


@pytest.mark.parametrize("kind", ["folder", "memory"])
def test_stores(tmp_path: Path, kind: str) -> None:
    store: Store = open_store(str(tmp_path / "store") if kind == "folder" else f"memory://yx{tmp_path.name}")
    sha = store.put(b"bytes")
    assert store.put(b"bytes") == sha == hashlib.sha256(b"bytes").hexdigest() and store.get(sha) == b"bytes"
    for bad in ("0" * 64, "../../etc/passwd", ""):
        with pytest.raises(NotFoundError):
            store.get(bad)
    store.delete(sha)
    with pytest.raises(NotFoundError):
        store.get(sha)


def test_a_changed_file_is_not_given_out(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    sha = store.put(b"evidence")
    path = tmp_path / sha[:2] / sha[2:4] / sha
    path.chmod(0o640)
    path.write_bytes(b"forgery!")
    with pytest.raises(ApiError, match="changed"):
        store.get(sha)
