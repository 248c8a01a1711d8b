"""`cocasearch models calibrate`: measures how far a model's captions can be trusted, and stores it with the model."""

from typing import TYPE_CHECKING, Annotated

import typer

from cocasearch.cli import console
from cocasearch.cli.options.model_choice import warn_about
from cocasearch.cli.options.shared_options import AsJson, BatchSize, CaptionKey, Device, ImageKey
from cocasearch.cli.output.hallucination_tables import hallucination_rows
from cocasearch.cli.output.left_out import name_left_out
from cocasearch.counting import counted

if TYPE_CHECKING:
    from cocasearch.evaluation.calibration import Calibration

Calibrated = Annotated[str, typer.Argument(metavar="MODEL", help="A model's name, or its folder.", show_default=False)]
NewPhotos = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="Captioned photos that the model was not trained on, 100 or more, as for 'cocasearch eval'.",
        show_default=False,
    ),
]


def calibrate(
    model: Calibrated,
    data: NewPhotos,
    as_json: AsJson = False,
    image_key: ImageKey = None,
    caption_key: CaptionKey = None,
    batch_size: BatchSize = 32,
    device: Device = "auto",
) -> None:
    """Measure how far a model's captions can be trusted; from then on each has a confidence.

    DATA needs photos that the model was not trained on: on those it knows it would look better than it is. What is
    measured is stored in the model's folder, beside its weights, which stay as they are. Captions have a confidence
    where they are written with the default options; 'cocasearch caption --index NAME' gives it to those that an index
    has already. A model made from this one has to be calibrated itself.
    """
    from cocasearch.captioned_data import read_captioned_data, unite_copies
    from cocasearch.checkpoints.confidence_file import refuse_unwritable, write_confidence
    from cocasearch.checkpoints.registry import resolve_model
    from cocasearch.evaluation.calibration import calibrate as measure
    from cocasearch.inference.loaded_model import load_model

    folder = resolve_model(model)
    refuse_unwritable(folder)
    with console.byte_progress() as fetched:
        rows = unite_copies(read_captioned_data(data, image_key=image_key, caption_key=caption_key, progress=fetched))
    name_left_out(rows)
    warn_about(model)
    with console.working("loading the model"):
        loaded = load_model(model, device=device)
    with console.progress("captioning", "photos") as advance:
        calibration = measure(loaded, rows, batch_size=batch_size, progress=advance)
    console.name_unreadable(calibration.unreadable)
    write_confidence(folder, calibration.confidence)
    if as_json:
        console.write_json(calibration.to_dict())
    else:
        _print(loaded.name, calibration)
    console.say(
        f"captions of {loaded.name} have a confidence from now on",
        "those of an index get theirs with: cocasearch caption --index NAME",
    )


def _print(name: str, found: "Calibration") -> None:
    size = counted(found.confidence.n_photos, "photo")
    console.write_lines(f"{name} on {size}, each half judged by a fit to the other half", "")
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
