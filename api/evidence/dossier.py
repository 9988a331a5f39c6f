"""The dossier of a case: a signed zip that proves itself offline.

`manifest.json` names every file with its SHA-256; `signature.json` holds the Ed25519 signature of the manifest's bytes.
Inside: the form, the case's and the candidate's chains, the pictures, custody, the Merkle proof, and a PDF for people.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.auth.models import Audit
from api.base import iso, utcnow
from api.cases import service as cases
from api.cases.models import Case
from api.context import Context
from api.errors import ApiError
from api.evidence import merkle
from api.evidence.models import CaseEvidence
from api.evidence.pdf import dossier_pdf
from api.evidence.service import evidence_of
from api.evidence.signing import holds, sign
from api.evidence.store import open_store
from api.feed.models import Event
from api.feed.service import canonical, chain_hash, history

SCHEMA_VERSION = 1
# A dossier holds some pictures of at most 1 MB each; a zip that claims much more is not one.
_MAX_UNPACKED = 200 * 1024 * 1024


def _event(row: Event) -> dict[str, Any]:
    return {
        "id": f"{row.epoch}-{row.xid}-{row.seq}",
        "type": row.type,
        "subject": row.subject,
        "chain_n": row.chain_n,
        "time": iso(row.time),
        "actor": row.actor,
        "data": row.data,
        "prev_hash": row.prev_hash.hex(),
        "hash": row.hash.hex(),
    }


def build(session: Session, here: Context, case: Case) -> bytes:
    """The dossier as a zip."""
    files = _files(session, here, case)
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "case_id": str(case.id),
        "number": case.number,
        "made_at": iso(utcnow()),
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())},
    }
    signed = canonical(manifest).encode()
    signature, key = sign(here.settings, signed)
    files["manifest.json"] = signed
    files["signature.json"] = canonical({"ed25519": signature.hex(), "key": key.hex()}).encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def _files(session: Session, here: Context, case: Case) -> dict[str, bytes]:
    events = history(session, str(case.id))
    earlier = history(session, case.candidate_id)
    evidence = evidence_of(session, case)
    store = open_store(here.settings.store)
    pictures = {
        f"pictures/{item['name']}.jpg": store.get(item["sha256"])
        for item in evidence
        if item["kind"] == "derived" and not item["deleted"]
    }
    days = sorted({event.time.date() for event in events})
    proofs = [found for day in days if (found := merkle.proof(session, str(case.id), day)) is not None]
    names = [item["sha256"] for item in evidence]
    custody = session.scalars(select(Audit).where(Audit.subject.in_(names)).order_by(Audit.id)).all()
    form = cases.form(case)
    texts: dict[str, Any] = {
        "case.json": form,
        "events.json": [_event(row) for row in events],
        "candidate_events.json": [_event(row) for row in earlier],
        "evidence.json": evidence,
        "custody.json": [
            {"at": iso(row.at), "actor": row.actor, "action": row.action, "sha256": row.subject, "reason": row.reason}
            for row in custody
        ],
        "merkle.json": proofs,
    }
    files = {name: json.dumps(value, ensure_ascii=False, indent=1).encode() for name, value in texts.items()}
    files["案卷.pdf"] = dossier_pdf(form, [_event(row) for row in events], evidence, pictures, here.settings.timezone)
    return {**files, **pictures}


def verify_dossier(path: Path, key: bytes | None = None) -> list[str]:
    """What is wrong with a dossier; [] when all of it holds. Needs nothing but the file (and the key to trust).

    Args:
        path: The zip.
        key: The installation's public key (32 bytes); None trusts the key in the file, which proves only that nothing
            was changed after it was signed.

    Raises:
        ApiError: Not a dossier at all.
    """
    files = _unpack(path)
    try:
        manifest = json.loads(files["manifest.json"])
        signature = json.loads(files["signature.json"])
        used = bytes.fromhex(signature["key"])
        wrong = []
        if key is not None and used != key:
            wrong.append("it was signed by another installation's key than the one to trust")
        if not holds(used, bytes.fromhex(signature["ed25519"]), files["manifest.json"]):
            wrong.append("the signature does not fit the manifest")
        wrong += _check_files(files, manifest["files"])
        wrong += _check_content(files, manifest, key or used)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise ApiError(f"{path.name} is not a dossier: {type(error).__name__} {str(error)[:80]}") from error
    return wrong


def _unpack(path: Path) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(item.file_size for item in archive.infolist()) > _MAX_UNPACKED:
                raise ApiError(f"{path.name} unpacks to more than {_MAX_UNPACKED} bytes: not a dossier")
            return {item.filename: archive.read(item) for item in archive.infolist()}
    except (OSError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise ApiError(f"{path} cannot be read as a dossier (a zip was expected): {error}") from error


def _check_files(files: dict[str, bytes], named: dict[str, str]) -> list[str]:
    wrong = [f"{name} is missing" for name in named if name not in files]
    for name, data in files.items():
        if name in ("manifest.json", "signature.json"):
            continue
        if name not in named:
            wrong.append(f"{name} was added after signing")
        elif hashlib.sha256(data).hexdigest() != named[name]:
            wrong.append(f"{name} was changed after signing")
    return wrong


def _check_content(files: dict[str, bytes], manifest: dict[str, Any], key: bytes) -> list[str]:
    form, events = json.loads(files["case.json"]), json.loads(files["events.json"])
    earlier = json.loads(files["candidate_events.json"])
    wrong = _check_chain(events) + _check_chain(earlier)
    if form["id"] != manifest["case_id"] or any(event["subject"] != form["id"] for event in events):
        wrong.append("the form, the manifest and the history are not of one case")
    filed = next((json.loads(event["data"]) for event in events if event["type"] == "case.filed"), None)
    if filed is None:
        wrong.append("the history does not say that the case was filed")
    else:
        fixed = ("number", "code", "lon", "lat", "geometry", "address", "description", "cell", "filed_at")
        wrong += [f"{name} in case.json differs from what was filed" for name in fixed if form[name] != filed[name]]
        if filed["candidate_hash"] not in {event["hash"] for event in earlier}:
            wrong.append("the case does not join the candidate's history")
    wrong += _check_evidence(files, events, json.loads(files["evidence.json"]))
    chain = {event["chain_n"]: event["hash"] for event in events}
    for found in json.loads(files["merkle.json"]):
        if not merkle.proof_holds(form["id"], found, chain, key):
            wrong.append(f"the Merkle proof of {found['day']} does not hold")
    return wrong


def _check_chain(events: list[dict[str, Any]]) -> list[str]:
    from datetime import datetime

    head = bytes(32)
    for number, event in enumerate(events, 1):
        digest = chain_hash(
            head,
            type=event["type"],
            subject=event["subject"],
            chain_n=event["chain_n"],
            time=datetime.fromisoformat(event["time"]),
            actor=event["actor"],
            data=event["data"],
        )
        if event["chain_n"] != number or digest.hex() != event["hash"]:
            return [f"event {number} of {event['subject']} does not hash to what it says"]
        head = digest
    return []


def _check_evidence(files: dict[str, bytes], events: list[dict[str, Any]], evidence: list[dict[str, Any]]) -> list[str]:
    """Every picture is one that the history names, by its hash."""
    told = {
        item["sha256"]
        for event in events
        if event["type"] == "case.evidence"
        for item in json.loads(event["data"]).get("collected", [])
    }
    wrong = [f"{item['name']} is not in the history" for item in evidence if item["sha256"] not in told]
    named = {f"pictures/{item['name']}.jpg": item["sha256"] for item in evidence}
    for name, data in files.items():
        if name.startswith("pictures/") and hashlib.sha256(data).hexdigest() != named.get(name):
            wrong.append(f"{name} is not the picture that was collected")
    return wrong


def has_evidence(session: Session, case: Case) -> bool:
    """Whether anything was collected."""
    return session.scalar(select(CaseEvidence.name).where(CaseEvidence.case_id == case.id).limit(1)) is not None
