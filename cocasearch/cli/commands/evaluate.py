"""`cocasearch eval`: how well a model finds and captions photos whose captions are known."""

from typing import TYPE_CHECKING, Any

from cocasearch.cli import console
from cocasearch.cli.options import shared_options as shared
from cocasearch.cli.options.caption_settings import Compat, NoCaptions, default_caption_options
from cocasearch.cli.options.model_choice import load_chosen
from cocasearch.cli.output.hallucination_tables import hallucination_rows
from cocasearch.cli.output.skipped import report_skipped
from cocasearch.counting import pluralize

if TYPE_CHECKING:
    from cocasearch.evaluation.benchmark import EvaluationReport


def evaluate(
    data: shared.CaptionedData,
    model: shared.ModelName = None,
    as_json: shared.AsJson = False,
    no_captions: NoCaptions = False,
    compat: Compat = None,
    image_key: shared.ImageKey = None,
    caption_key: shared.CaptionKey = None,
    label_template: shared.LabelTemplate = None,
    batch_size: shared.BatchSize = 32,
    device: shared.Device = "auto",
) -> None:
    """Measure a model on captioned photos: retrieval in both directions, and the captions it writes."""
    from cocasearch.captioned_data import read_captioned_data, unite_copies
    from cocasearch.evaluation.benchmark import evaluate as measure

    options = default_caption_options(compat, no_captions=no_captions)
    columns: dict[str, Any] = {"image_key": image_key, "caption_key": caption_key, "label_template": label_template}
    with console.byte_progress() as fetched:
        rows = unite_copies(read_captioned_data(data, **columns, progress=fetched))
    report_skipped(rows)
    loaded = load_chosen(model, device=device)
    with console.progress("measuring", "photos") as advance:
        report = measure(loaded, rows, caption_options=options, batch_size=batch_size, progress=advance)
    console.name_unreadable(report.unreadable)
    if as_json:
        console.write_json(report.to_dict())
    else:
        _print(report)


def _print(report: "EvaluationReport") -> None:
    size = f"{pluralize(report.n_images, 'photo')} and {pluralize(report.n_texts, 'text')}"
    console.write_lines(f"{report.model} on {size}", "")
    ways = {"text to image": report.retrieval.text_to_image, "image to text": report.retrieval.image_to_text}
    console.write_table([{"retrieval": way, **scores.to_dict()} for way, scores in ways.items()])
    if report.captions:
        console.write_lines("")
        console.write_table([{"captions": "as written", **report.captions.to_dict()}])
    if report.hallucination:
        console.write_lines("")
        console.write_table(hallucination_rows({"all": report.hallucination.every, "sure": report.hallucination.sure}))
        if report.hallucination.share_sure is not None:
            console.write_lines("", f"{report.hallucination.share_sure:.0%} of the captions are sure")
