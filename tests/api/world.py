"""What tests of the API say to it, in few words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi.testclient import TestClient

from api.context import Context

LON, LAT = 118.35, 35.10


def square(east_m: float = 0.0, north_m: float = 0.0, side_m: float = 20.0) -> dict[str, Any]:
    """A square of ground whose corner is so far from a fixed point in Linyi."""
    per_lat = 111_320.0
    per_lon = per_lat * math.cos(math.radians(LAT))
    x, y = LON + east_m / per_lon, LAT + north_m / per_lat
    dx, dy = side_m / per_lon, side_m / per_lat
    return {"type": "Polygon", "coordinates": [[[x, y], [x + dx, y], [x + dx, y + dy], [x, y + dy], [x, y]]]}


def feature(patrol: str = "P1", n: int = 1, geometry: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    properties = {"n": n, "family": "construction", "label": "new_building", "probability": 0.9, "area_m2": 400.0}
    return {
        "type": "Feature",
        "patrol_id": patrol,
        "geometry": geometry or square(),
        "properties": {**properties, **more},
    }


def collection(*features: dict[str, Any], patrol: str = "P1") -> dict[str, Any]:
    return {"type": "FeatureCollection", "schema_version": 1, "patrol_id": patrol, "features": list(features)}


@dataclass
class World:
    client: TestClient
    context: Context
    tokens: dict[str, str]

    def call(self, role: str | None, method: str, path: str, **kwargs: Any) -> httpx.Response:
        headers = {**(kwargs.pop("headers", None) or {})}
        if role is not None:
            headers["Authorization"] = f"Bearer {self.tokens[role]}"
        return self.client.request(method, f"/api/v1{path}", headers=headers, **kwargs)

    def file(self, *features: dict[str, Any], key: str | None = None, role: str = "pilot") -> list[dict[str, Any]]:
        headers = {"Idempotency-Key": key} if key else {}
        body = features[0] if len(features) == 1 else collection(*features)
        answer = self.call(role, "POST", "/sites", json=body, headers=headers)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()["taken"]

    def review(self, candidate: str, decision: str, role: str = "reviewer", **more: Any) -> httpx.Response:
        body = {"decision": decision, **more}
        if decision == "accept":
            body.setdefault("address", "北园路12号东侧")
        return self.call(role, "POST", f"/candidates/{candidate}/review", json=body)

    def accept(self, candidate: str, **more: Any) -> dict[str, Any]:
        answer = self.review(candidate, "accept", **more)
        assert answer.status_code == 200, answer.text
        case = answer.json()["case"]
        assert case is not None, answer.text
        return case

    def candidate(self, candidate: str) -> dict[str, Any]:
        answer = self.call("reviewer", "GET", f"/candidates/{candidate}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def feed(self, role: str = "officer", **params: Any) -> list[dict[str, Any]]:
        answer = self.call(role, "GET", "/feed", params={"limit": 1000, **params})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def status(self, case: str, state: str, **more: Any) -> httpx.Response:
        return self.call("platform", "POST", f"/cases/{case}/status", json={"state": state, **more})
