"""The camera as geometry: what a nadir photograph sees from a height. One pinhole, square pixels."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Camera(BaseModel):
    """A camera of a profile.

    Attributes:
        model: The maker's name of the camera, as its EXIF carries it.
        width_px: Image width (across the flight direction when flying nadir).
        height_px: Image height (along the flight direction).
        focal_mm: Physical focal length.
        sensor_width_mm: Physical width of the sensor area that makes `width_px`.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    width_px: int = Field(gt=0)
    height_px: int = Field(gt=0)
    focal_mm: float = Field(gt=0)
    sensor_width_mm: float = Field(gt=0)

    @property
    def focal_px(self) -> float:
        """Focal length in pixels."""
        return self.focal_mm / self.sensor_width_mm * self.width_px

    def gsd_at_m(self, height_agl_m: float) -> float:
        """Ground sample distance in m per pixel of a nadir view from `height_agl_m`."""
        return height_agl_m / self.focal_px

    def height_for_gsd_m(self, gsd_m: float) -> float:
        """Height above the ground from which one pixel covers `gsd_m` metres."""
        return gsd_m * self.focal_px

    def footprint_m(self, height_agl_m: float) -> tuple[float, float]:
        """Ground covered by a nadir view: (across, along) the flight direction, in m."""
        gsd_m = self.gsd_at_m(height_agl_m)
        return self.width_px * gsd_m, self.height_px * gsd_m

    def lane_m(self, height_agl_m: float, side_overlap: float) -> float:
        """Distance between neighbouring lanes for a side overlap given as a share (0.65)."""
        return self.footprint_m(height_agl_m)[0] * (1.0 - side_overlap)

    def trigger_m(self, height_agl_m: float, front_overlap: float) -> float:
        """Distance between photographs along a lane for a front overlap given as a share (0.75)."""
        return self.footprint_m(height_agl_m)[1] * (1.0 - front_overlap)
