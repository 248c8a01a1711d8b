"""`cocasearch models calibrate`: measures how reliable a model's captions are, and stores it with the model."""

from typing import TYPE_CHECKING, Annotated

import typer

from cocasearch.cli import console
from cocasearch.cli.options import shared_options as shared
from cocasearch.cli.options.model_choice import load_chosen
from cocasearch.cli.options.path_arguments import DATA, MODEL
from cocasearch.cli.output.hallucination_tables import hallucination_rows
from cocasearch.cli.output.skipped import report_skipped
from cocasearch.counting import pluralize

if TYPE_CHECKING:
    from cocasearch.evaluation.calibration import Calibration

Calibrated = Annotated[str, typer.Argument(**MODEL, help="Name or folder of the model to calibrate.")]
NewPhotos = Annotated[
    str,
    typer.Argument(
        **DATA, help="At least 100 captioned photos that the model was not trained on, as for 'cocasearch eval'."
    ),
]


def calibrate(
    model: Calibrated,
    data: NewPhotos,
    as_json: shared.AsJson = False,
    image_key: shared.ImageKey = None,
    caption_key: shared.CaptionKey = None,
    batch_size: shared.BatchSize = 32,
    device: shared.Device = "auto",
) -> None:
    """Measure how reliable a model's captions are, so that each new caption gets a confidence.

    On photos that the model was trained on, it would look better than it is. The measurement is stored in the model's
    folder, beside its weights, which stay as they are. Captions get a confidence if they are written with the default
    options; 'cocasearch caption --index INDEX' adds it to those that an index has already. A model made from this one
    has to be calibrated itself.
    """
    from cocasearch.captioned_data import read_captioned_data, unite_copies
    from cocasearch.checkpoints.confidence_file import refuse_unwritable, write_confidence
    from cocasearch.checkpoints.registry import resolve_model
    from cocasearch.evaluation.calibration import calibrate as measure

    folder = resolve_model(model)
    refuse_unwritable(folder)
    with console.byte_progress() as fetched:
        rows = unite_copies(read_captioned_data(data, image_key=image_key, caption_key=caption_key, progress=fetched))
    report_skipped(rows)
    loaded = load_chosen(model, device=device)
    with console.progress("captioning", "photos") as advance:
        calibration = measure(loaded, rows, batch_size=batch_size, progress=advance)
    console.name_unreadable(calibration.unreadable)
    write_confidence(folder, calibration.confidence)
    if as_json:
        console.write_json(calibration.to_dict())
    else:
        _print(loaded.name, calibration)
    console.report(
        f"captions of {loaded.name} have a confidence from now on",
        "those of an index get theirs with: cocasearch caption --index INDEX",
    )


def _print(model: str, found: "Calibration") -> None:
    size = pluralize(found.confidence.n_photos, "photo")
    console.write_lines(f"{model} on {size}, each half measured by a fit to the other half", "")
    bins = [row for row in found.confidence.reliability if row.n_photos]
    console.write_table(
        [
            {
                "confidence": f"{row.low:.1f} to {row.high:.1f}",
                "photos": row.n_photos,
                "mean_confidence": row.confidence,
                "share_right": row.share_right,
            }
            for row in bins
        ]
    )
    of_sure = "" if found.share_right_of_sure is None else f", and {found.share_right_of_sure:.0%} of these are right"
    console.write_lines(
        "",
        f"{found.share_right:.0%} of the captions are right; {found.share_sure:.0%} are sure{of_sure}",
        f"on average, the confidence is {found.calibration_error:.3f} off the share of right captions",
        "",
    )
    console.write_table(hallucination_rows({"sure": found.sure, "other": found.others}))
