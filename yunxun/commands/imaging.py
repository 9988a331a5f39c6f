"""`yunxun stitch` and `yunxun detect`: photographs into a map, a map into candidates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from yunxun.console import PartlyDone, command, progress_bar
from yunxun.errors import YunxunError
from yunxun.workspace import PHOTO_SUFFIXES, PatrolFolder

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@command
def stitch(
    frames_dir: Annotated[
        Path, typer.Argument(help="Folder of photographs, a subfolder a sortie where there are any.")
    ],
    out: Annotated[Path, typer.Option(help="The mosaic to write; its report, poses and heights go beside it.")],
    gcp: Annotated[Path | None, typer.Option(help="Ground control points (gcp_list.txt).")] = None,
    check: Annotated[Path | None, typer.Option(help="Check points: measured, never used.")] = None,
    baseline: Annotated[Path | None, typer.Option(help="An earlier patrol's folder or mosaic to lie upon.")] = None,
    tz: Annotated[str, typer.Option(help="Zone of EXIF times that carry no offset.")] = "Asia/Shanghai",
    as_json: AsJson = False,
) -> tuple[dict[str, Any], list[str]]:
    """Stitch photographs into an orthomosaic, with poses, heights and an honest report beside it.

    Example: yunxun stitch card/DCIM --out mosaic.tif
    """
    from imagery.stitch import StitchOptions
    from imagery.stitch import stitch as run

    options = StitchOptions(gcp=gcp, check=check, baseline=baseline_raster(baseline), tz=tz)
    with progress_bar(as_json) as report:
        made = run(frames_dir, out, options, report)
    result = made.model_dump(mode="json")
    lines = [*mosaic_lines(result), f"written to {out}"]
    if made.frames_set_aside:
        raise PartlyDone(result, lines)
    return result, lines


def mosaic_lines(report: dict[str, Any]) -> list[str]:
    """A mosaic's report in a few lines for a person."""
    tie, gps = report["tie_rms_px"], report["gps_rms_m"]
    lines = [
        f"{report['frames_matched']} of {report['frames_total']} frames matched, {report['frames_placed']} placed, "
        f"{len(report['frames_set_aside'])} set aside; {report['gsd_m'] * 100:.1f} cm per pixel",
        "withheld ties " + ("none" if tie is None else f"{tie:.2f} px RMS")
        + "; GPS " + ("none" if gps is None else f"{gps:.2f} m RMS")
        + f"; {report['cpu_s']:.0f} CPU s, {report['peak_mb']:.0f} MB",
    ]  # fmt: skip
    return lines + [f"set aside: {item['file']}: {item['why']}" for item in report["frames_set_aside"]]


def baseline_raster(baseline: Path | None) -> Path | None:
    """The mosaic of a baseline given as a patrol folder or a GeoTIFF.

    Raises:
        YunxunError: Neither; the message says which file was looked for.
    """
    if baseline is None:
        return None
    raster = PatrolFolder(baseline).mosaic if baseline.is_dir() else baseline
    if not raster.is_file():
        raise YunxunError(f"no baseline at {raster}: give an earlier patrol's folder (with mosaic.tif) or a GeoTIFF")
    return raster


@command
def detect(
    source: Annotated[list[Path], typer.Argument(help="A patrol's folder, a mosaic, or photographs.")],
    out: Annotated[Path, typer.Option(help="GeoJSON of candidates to write.")],
    baseline: Annotated[Path | None, typer.Option(help="An earlier patrol's folder or mosaic.")] = None,
    permits: Annotated[Path | None, typer.Option(help="Permitted building work (polygons with permit_no).")] = None,
    registered: Annotated[
        Path | None,
        typer.Option(help="On record (polygons): without --baseline, what stands outside is found."),
    ] = None,
    gsd_cm: Annotated[float | None, typer.Option(help="For photographs that carry no height.")] = None,
    as_json: AsJson = False,
) -> tuple[dict[str, Any], list[str]]:
    """Find new construction and garbage: candidates for a person to judge.

    Example: yunxun detect patrols/day2 --baseline patrols/day1 --permits permits.geojson --out sites.geojson
    """
    from inference.detect import write_sites
    from yunxun import stages

    for path in source:
        if not path.exists():
            raise YunxunError(f"nothing at {path}: give a patrol's folder, a mosaic (.tif) or photographs")
    if registered is not None and baseline is not None:
        raise YunxunError("--registered is for a first flight: with --baseline, the earlier day says what is new")
    with progress_bar(as_json) as report:
        if len(source) == 1 and source[0].is_dir() and PatrolFolder(source[0]).mosaic.is_file():
            found = stages.detect_in_patrol(PatrolFolder(source[0]), baseline, permits, report, registered)
        elif len(source) == 1 and source[0].suffix.lower() in {".tif", ".tiff", ".vrt"}:
            found = stages.detect_in_mosaic(source[0], baseline, permits, report, registered)
        else:
            wrong = [path for path in source if path.suffix.lower() not in PHOTO_SUFFIXES]
            if wrong:
                raise YunxunError(
                    f"{wrong[0]} is neither a patrol's folder with a mosaic.tif, a mosaic nor a photograph"
                )
            found = stages.detect_in_photos(source, gsd_cm, report)
    write_sites(found, out)
    result = found.model_dump(mode="json")
    return result, [*candidate_lines(result), f"written to {out}"]


def candidate_lines(collection: dict[str, Any]) -> list[str]:
    """Candidates, one a line."""
    lines = [f"{len(collection['features'])} candidates"]
    for feature in collection["features"]:
        site = feature["properties"]
        height = site["height_change_m"]
        looks = f", seen {site['seen']} of {site['looked']}"
        permitted = {True: f", permitted ({site['permit_no']})", False: ", no permit", None: ""}[site["permitted"]]
        area = "" if site["area_m2"] is None else f", {site['area_m2']:.1f} m2"
        lines.append(
            f"  {site['n']:>3} {site['label']:<16} p={site['probability']:.2f}{area}"
            + ("" if height is None else f", {height:+.1f} m") + permitted + looks
        )  # fmt: skip
    return lines


def register(app: typer.Typer) -> None:
    """Adds this room's verbs."""
    app.command()(stitch)
    app.command()(detect)
