"""What is kept, thinned and deleted, and after how long: settings, so that the bureau's own schedule decides."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

Days = Annotated[int, Field(ge=1, le=36_500)]


class RetentionRules(BaseModel):
    """Section `[retention]` of `settings.toml`. Days count from the patrol's flight, years from a case's last change.

    Mosaics, reports, plans and flight logs are never touched (flight data: 15 months at least, CCAR-92.547), nor is
    anything of a candidate that waits for review, or of a case that is not ended.

    Attributes:
        enabled: Whether the nightly run deletes; the report is made in any case.
        empty_frame_days: Photographs in which nothing was found (PIPL: no longer than the purpose needs; 30 days is
            the usual term of public video).
        keep_one_in: Of those, every n-th stays as a sample of the flight; 0 keeps none.
        rejected_frame_days: Photographs that show rejected candidates alone.
        case_frame_days: Photographs that show a filed case; the ones that went into it lie in the evidence store, too.
        case_years: Evidence of ended cases. Never less than 3: an administrative suit may still come.
        refused_case_years: Evidence of cases that were withdrawn, refused or voided.
        cache_gb: Pictures and tiles that can be made again; the oldest go.
        budget_gb: What photographs, products and store may take; the report says when they take more. Rules do not
            bend for it: more room, or shorter terms, is a person's decision.
        photos_a_sweep: Photographs of one flight over the whole city, for the projection.
        sweep_days: How often the city is swept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = False
    empty_frame_days: Days = 30
    keep_one_in: Annotated[int, Field(ge=0, le=1000)] = 20
    rejected_frame_days: Days = 180
    case_frame_days: Days = 730
    case_years: Annotated[int, Field(ge=3, le=100)] = 10
    refused_case_years: Annotated[int, Field(ge=1, le=100)] = 3
    cache_gb: Annotated[float, Field(gt=0)] = 20.0
    budget_gb: Annotated[float, Field(gt=0)] = 8000.0
    photos_a_sweep: Annotated[int, Field(ge=1)] = 171_000
    sweep_days: Days = 30

    @model_validator(mode="after")
    def _in_order(self) -> RetentionRules:
        if not self.empty_frame_days <= self.rejected_frame_days <= self.case_frame_days:
            raise ValueError("empty_frame_days <= rejected_frame_days <= case_frame_days was expected")
        return self
