"""SAHI on the same network: its tiling and merging beside ours. An extra: `pip install --no-deps sahi fire termcolor`.

(With its dependencies, SAHI pulls `opencv-python` over `opencv-python-headless`.)
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.transform import Affine

from inference.engine import Model, sigmoid
from inference.proposals import find
from inference.training.scoring import Case, Found, TrueThing, tally
from inference.waste import HIGH, LOW, MIN_AREA_M2, find_waste

SLICE_PX, OVERLAP = 512, 0.25


@dataclass(frozen=True)
class Side:
    """One tool's run: recall, false candidates, candidates per object, AP50, CPU-seconds."""

    recall: float
    false: int
    per_object: float
    ap50: float
    cpu_s: float

    def __str__(self) -> str:
        return (
            f"recall {self.recall:.3f}, false {self.false}, candidates/object {self.per_object:.3f}, "
            f"AP50 {self.ap50:.3f}, {self.cpu_s:.1f} CPU-s"
        )


def _side(found: list[Found], truth: tuple[TrueThing, ...], area_m2: float, cpu_s: float) -> Side:
    from inference.training.scoring import average_precision

    counts = tally(Case("town", area_m2, tuple(found), truth), "sanitation", 0.5, 1.0)
    ap50 = average_precision(counts.boxes, counts.wanted)
    shares = counts.candidates_on_hits / max(1, counts.hit)
    return Side(counts.hit / max(1, counts.wanted), counts.false, shares, ap50, cpu_s)


def _sliced_model(model: Model) -> Any:
    from sahi.models.base import DetectionModel
    from sahi.prediction import ObjectPrediction

    class Sliced(DetectionModel):  # type: ignore[misc]  # SAHI is untyped
        """Our network behind SAHI's interface: boxes of the same regions, with their mean as the score."""

        def load_model(self) -> None:
            self.category_mapping = {"0": "waste"}

        def perform_inference(self, image: NDArray[np.uint8]) -> None:
            high, wide = (32 * -(-n // 32) for n in image.shape[:2])
            padded = np.zeros((high, wide, 3), np.uint8)
            padded[: image.shape[0], : image.shape[1]] = image
            field = sigmoid(model.logits(padded[None])[0])[0]
            self._original_predictions = [find(field, Affine.scale(2), LOW, HIGH, {})]

        def _create_object_prediction_list_from_original_predictions(
            self, shift_amount_list: Any = None, full_shape_list: Any = None
        ) -> None:
            shift = (shift_amount_list or [[0, 0]])[0]
            shift = shift if isinstance(shift, list) else shift_amount_list
            full = full_shape_list[0] if full_shape_list and isinstance(full_shape_list[0], list) else full_shape_list
            self._object_prediction_list_per_image = [
                [
                    ObjectPrediction(
                        bbox=[int(v) for v in p.polygon.bounds],
                        category_id=0,
                        category_name="waste",
                        score=p.mean,
                        shift_amount=shift,
                        full_shape=full,
                    )
                    for p in self._original_predictions[0]
                ]
            ]

    return Sliced(confidence_threshold=0.0, device="cpu")


def side_by_side(model: Model, mosaic: Path, truth: tuple[TrueThing, ...], area_m2: float) -> tuple[Side, Side]:
    """Ours and SAHI's tiling and merging on one mosaic at the network's spacing; no second looks, no calibration.

    Args:
        model: The waste model.
        mosaic: At the model's spacing (SAHI has no other reading).
        truth: In metres of the mosaic's CRS.
        area_m2: Of the place.
    """
    from sahi.predict import get_sliced_prediction

    started = time.process_time()
    proposals, _ = find_waste(model, mosaic)
    ours = _side(
        [Found(p.polygon, "sanitation", p.mean) for p in proposals], truth, area_m2, time.process_time() - started
    )
    started = time.process_time()
    with rasterio.open(mosaic) as dataset:
        image = np.ascontiguousarray(np.moveaxis(dataset.read([1, 2, 3]), 0, -1))
        at = dataset.transform
    result = get_sliced_prediction(
        image, _sliced_model(model), SLICE_PX, SLICE_PX, OVERLAP, OVERLAP, perform_standard_pred=False, verbose=0
    )
    found = []
    for item in result.object_prediction_list:
        x0, y0, x1, y1 = (float(v) for v in item.bbox.to_xyxy())
        (west, north), (east, south) = at @ (x0, y0), at @ (x1, y1)
        if (east - west) * (north - south) >= MIN_AREA_M2:
            found.append(Found(shapely.box(west, south, east, north), "sanitation", float(item.score.value)))
    return ours, _side(found, truth, area_m2, time.process_time() - started)
