"""What a scene's truth.json says: every thing in pixels of the later picture, lean included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shapely.geometry import Polygon

from simulators.changes import Change
from simulators.things import Building, Tree
from simulators.town import Town, TownDay

Record = dict[str, Any]
FATES = {0: "existing", 1: "new", -1: "gone"}


@dataclass(frozen=True)
class View:
    """How one day's picture is taken: orthographic (`height_m` None), or from a point above the scene."""

    x: float
    y: float
    height_m: float | None

    def image_xy(self, x: float, y: float, up_m: float) -> tuple[float, float]:
        """Where a point `up_m` above the scene's middle ground appears on the ground plane."""
        if self.height_m is None:
            return x, y
        grow = self.height_m / max(5.0, self.height_m - up_m)
        return self.x + (x - self.x) * grow, self.y + (y - self.y) * grow


@dataclass(frozen=True)
class Frame:
    """A scene's picture: its view, the ground it shows (m), and metres a pixel."""

    view: View
    size_m: tuple[float, float]
    gsd_m: float

    def pixels(self, polygon: Polygon, up_m: float) -> list[list[float]]:
        """A polygon `up_m` above the ground in pixels (x right, y down)."""
        out = []
        for x, y in polygon.exterior.coords[:-1]:
            ix, iy = self.view.image_xy(x, y, up_m)
            out.append(
                [round((ix + self.size_m[0] / 2) / self.gsd_m, 1), round((self.size_m[1] / 2 - iy) / self.gsd_m, 1)]
            )
        return out

    def near(self, x: float, y: float) -> bool:
        """Whether a thing stands in the picture or within 5 m of it."""
        return abs(x) < self.size_m[0] / 2 + 5 and abs(y) < self.size_m[1] / 2 + 5

    def record(
        self, kind: tuple[str, str, str], polygon: Polygon, tall_m: float, up_m: float, fate: str | None = None
    ) -> Record:
        """An entry of truth.json; `kind` is (family, kind, label), `up_m` the height its outline is drawn at."""
        family, what, label = kind
        entry: Record = {
            "family": family, "kind": what, "label": label, "polygon": self.pixels(polygon, up_m),
            "area_m2": round(polygon.area, 2), "height_m": round(tall_m, 2),
        }  # fmt: skip
        return {**entry, "fate": fate} if fate else entry


def change_record(change: Change, fate: str, frame: Frame) -> Record:
    """One entry of truth.json; `fate` is new, gone or existing."""
    kind = "distractor" if change.family == "none" else ("permitted" if fate == "new" and change.permitted else fate)
    label = change.label
    if isinstance(change.thing, Building) and change.thing.cover == "steel" and label == "new_building":
        label = "steel_roof"
    up = change.height_m if change.family == "construction" else change.height_m * 0.4
    return frame.record((change.family, kind, label), change.polygon, change.height_m, up, fate)


def stuff_records(day: TownDay, first: TownDay | None, frame: Frame) -> list[Record]:
    """What stands about on the later day, what stood on the first only, and crowns that turned in between."""
    here = {id(c) for c in day.stuff}
    left = [c for c in (first.stuff if first else ()) if id(c) not in here]
    out = []
    for item in (*day.stuff, *left):
        up = item.height_m if item.height_m > 1.8 else item.height_m * 0.5
        middle = item.polygon.centroid
        if not frame.near(middle.x, middle.y):
            continue
        fate = FATES[item.day] if first or item.day >= 0 else "existing"
        out.append(frame.record(("none", "distractor", item.label), item.polygon, item.height_m, up, fate))
    green = {(t.x, t.y) for t in (first.scene.things.trees if first else ()) if t.hue is None}
    for tree in day.scene.things.trees:
        if isinstance(tree, Tree) and tree.hue is not None and frame.near(tree.x, tree.y):
            fate = "new" if (tree.x, tree.y) in green else "existing"
            up = tree.height_m * 0.7
            out.append(frame.record(("none", "distractor", "crown"), tree.polygon, tree.height_m, up, fate))
    return out


def standing(town: Town, day: TownDay, frame: Frame) -> list[Record]:
    """Buildings and piles that always stood, and the later day's vehicles of the streets."""
    came = {id(change.thing) for change in (*day.changes, *day.stuff)}
    out: list[Record] = []
    for body in town.things.buildings:
        if frame.near(body.x, body.y):
            kind = ("construction", "existing", "building")
            if body.use == "container":
                kind = ("none", "distractor", "container")
            out.append(frame.record(kind, body.polygon, body.top_m, body.eave_m + body.rise_m / 2, "existing"))
    for slab in town.things.slabs:
        if frame.near(slab.x, slab.y):
            kind = ("construction", "existing", "foundation")
            out.append(frame.record(kind, slab.polygon, slab.height_m, slab.height_m))
    for heap in day.scene.things.heaps:
        if id(heap) not in came and frame.near(heap.x, heap.y):
            label = {"sand": "spoil", "gravel": "spoil"}.get(heap.kind, heap.kind)
            kind = ("sanitation", "existing", label)
            out.append(frame.record(kind, heap.polygon, heap.height_m, heap.height_m * 0.4))
    for car in day.scene.things.cars:
        if id(car) not in came and frame.near(car.x, car.y):
            kind = ("none", "distractor", "vehicle")
            out.append(frame.record(kind, car.polygon, car.height_m, car.height_m * 0.5))
    return out
