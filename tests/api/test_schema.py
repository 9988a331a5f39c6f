"""Schemathesis: whatever is sent, no 5xx, problems are problems, and answers are what the OpenAPI says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from tests.api.conftest import open_world, settings_for
from tests.api.world import World, feature, square

# Plain `make test` asks each operation a little; YUNXUN_FUZZ=200 asks for an hour.
EXAMPLES = int(os.environ.get("YUNXUN_FUZZ", "2"))


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, empty_sqlite: Path) -> Iterator[World]:
    """An installation with something in it."""
    for world in open_world(settings_for(tmp_path_factory.mktemp("fuzz"), empty_sqlite)):
        world.call("pilot", "POST", "/patrols", json={"id": "P1", "place": "北园"})
        world.file(*[feature(n=n, geometry=square(60.0 * n)) for n in range(4)])
        world.accept("P1/0")
        world.review("P1/1", "reject", reason="lawful")
        yield world


def _ask(full: World, operation: Any) -> None:
    """Asks one operation with what its schema allows, and with what it does not."""

    @settings(
        max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
    )
    @given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
    def fitting(case: schemathesis.Case) -> None:
        _check(full, case)

    @settings(
        max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
    )
    @given(case=operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
    def unfitting(case: schemathesis.Case) -> None:
        _check(full, case)

    fitting()
    try:
        unfitting()
    except Unsatisfiable:
        # An operation without anything to get wrong.
        return


def _check(full: World, case: schemathesis.Case) -> None:
    case.headers = {**(case.headers or {}), "Authorization": f"Bearer {full.tokens['admin']}"}
    if case.path == "/api/v1/feed" and isinstance(case.query, dict):
        case.query = {**case.query, "timeout": 0}
    answer = case.call()
    checks = [not_a_server_error]
    if answer.status_code < 300:
        checks += [response_schema_conformance, content_type_conformance]
    case.validate_response(answer, checks=checks)
    if answer.status_code >= 400:
        kind = (answer.headers.get("content-type") or [""])[0]
        assert kind == "application/problem+json", (answer.status_code, kind, answer.text[:200])


def test_no_request_is_our_fault(full: World) -> None:
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", full.client.app)
    wrong, asked = [], 0
    for result in schema.get_all_operations():
        operation = result.ok()
        # A stream has no end, and a log-out would be the end of ours.
        if operation.path in ("/api/v1/feed/stream", "/api/v1/auth/logout"):
            continue
        asked += 1
        try:
            _ask(full, operation)
        except Exception as error:
            wrong.append(f"{operation.method.upper()} {operation.path}: {str(error)[:400]}")
    assert asked > 50
    assert not wrong, "\n".join(wrong)
