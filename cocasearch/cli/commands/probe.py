"""`cocasearch probe`: how well a linear classifier finds labels from the vectors of photos."""

from typing import TYPE_CHECKING, Annotated

import typer

from cocasearch.cli import console
from cocasearch.cli.options import shared_options as shared
from cocasearch.cli.options.model_choice import load_chosen
from cocasearch.cli.options.option_groups import input_option
from cocasearch.cli.options.path_arguments import DATA
from cocasearch.cli.output import skipped
from cocasearch.counting import pluralize
from cocasearch.errors import CocaSearchError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from cocasearch.captioned_data import CaptionedImage
    from cocasearch.evaluation.linear_probe import Accuracy
    from cocasearch.inference.loaded_model import LoadedModel

Labelled = Annotated[str, typer.Argument(**DATA, help="Labelled photos: a table with a column of labels.")]
LabelKey = Annotated[
    str | None,
    input_option("--label-key", metavar="COLUMN", help="Name of the column of labels.", show_default="name or label"),
]
Validation = Annotated[
    str | None, input_option("--val", **DATA, help="Labelled photos to measure on.", show_default="a fifth of DATA")
]
Templates = Annotated[
    list[str],
    input_option(
        "--template", metavar="TEXT", help="Text made of a label for the comparison with words; may be repeated."
    ),
]
Seed = Annotated[int, input_option(min=0, help="Random seed of the choice of held-out photos.")]


def probe(
    data: Labelled,
    model: shared.ModelName = None,
    val: Validation = None,
    label_key: LabelKey = None,
    template: Templates = ["a photo of a {name}.", "a {name}.", "a picture of the {name}."],  # noqa: B006
    seed: Seed = 0,
    as_json: shared.AsJson = False,
    image_key: shared.ImageKey = None,
    batch_size: shared.BatchSize = 32,
    device: shared.Device = "auto",
) -> None:
    """Measure how well a linear classifier, or words alone, find the labels of photos from a model's vectors."""
    import numpy as np

    from cocasearch.captioned_data.columns import WantedColumns
    from cocasearch.evaluation import linear_probe
    from cocasearch.inference.embedder import Embedder
    from cocasearch.training.data.splitting import hold_out

    for text in template:
        WantedColumns(label_template=text)  # which refuses one without a place for the label
    rows = _read(data, image_key, label_key)
    training, held_out = (
        (rows, _read(val, image_key, label_key, beside=True)) if val else hold_out(rows, len(rows), seed=seed)
    )
    names = _classes(data, training, held_out)
    skipped.report_several_labels([*training, *held_out])
    training, n_left_out = _apart(training, held_out)
    names = _classes(f"{data} without what is measured on", training, held_out) if n_left_out else names
    if val and not {row.captions[0] for row in held_out} & set(names):
        raise CocaSearchError(
            f"no label of {val} is among those of {data}", hint="--label-key COLUMN names the labels of both"
        )
    loaded = load_chosen(model, device=device, towers=("image", "text"))
    embeddings, labels = _embed(loaded, training, names, batch_size, "reading photos to learn from")
    measured, truth = _embed(loaded, held_out, names, batch_size, "reading those held out")
    fitted = linear_probe.fit_probe(embeddings, labels, len(names), seed=seed)
    found = linear_probe.accuracy(fitted.scores(measured), truth, seed=seed)
    texts = [text.replace("{name}", name) for name in names for text in template]
    vectors = linear_probe.class_vectors(Embedder(loaded).embed_texts(texts), len(template))
    by_words = linear_probe.accuracy((measured @ vectors.T).astype(np.float64), truth, seed=seed)
    sentence = linear_probe.verdict(found, by_words, np.bincount(labels, minlength=len(names)).tolist())
    if as_json:
        counts = {
            "n_training": len(labels),
            "n_held_out": len(truth),
            "n_classes": len(names),
            "n_left_out": n_left_out,
        }
        sides = {"linear_probe": found.to_dict() | {"penalty": fitted.penalty}, "zero_shot": by_words.to_dict()}
        console.write_json({"model": loaded.name, **counts, **sides, "verdict": sentence})
    else:
        learned_from = f"{pluralize(len(names), 'label')}, {pluralize(len(labels), 'photo')} to learn from"
        console.write_lines(f"{learned_from}, {len(truth):,} held out", "")
        console.write_table([_row("linear classifier", found), _row("words alone", by_words)])
    console.report(sentence)


def _read(data: str, image_key: str | None, label_key: str | None, *, beside: bool = False) -> "list[CaptionedImage]":
    from cocasearch.captioned_data import read_captioned_data, unite_copies

    try:
        read = unite_copies(read_captioned_data(data, image_key=image_key, caption_key=label_key, or_usual=beside))
    except CocaSearchError as error:
        raise CocaSearchError(str(error), hint=error.hint and error.hint.replace("--caption", "--label")) from error
    skipped.report_skipped(read)
    return read.images


def _apart(training: "list[CaptionedImage]", held_out: "list[CaptionedImage]") -> "tuple[list[CaptionedImage], int]":
    """The photos to learn from that are not measured on too, by the rules of training; and how many are skipped."""
    from cocasearch.training.data.splitting import LOOK_ALIKE, find_alike, keep_apart

    with console.staged_progress("photos") as advance:
        found = find_alike(training, held_out, near=True, progress=advance)
    (kept,), left_out = keep_apart([training], held_out, found, most_alike=LOOK_ALIKE)
    if left_out.alike:
        skipped.report_look_alike(left_out.alike)
    skipped.report_not_trained_on(left_out)
    return kept, len(training) - len(kept)


def _classes(data: str, training: "list[CaptionedImage]", held_out: "list[CaptionedImage]") -> list[str]:
    names = sorted({row.captions[0] for row in training})
    if len(names) < 2:
        raise CocaSearchError(f"{data} has only one label, '{names[0]}', so there is nothing to classify")
    if not held_out:
        raise CocaSearchError(f"{data} has too few photos to hold some out", hint="at least five, or --val DATA")
    if len(names) > len(training) / 2:
        raise CocaSearchError(
            f"{data} has {len(names)} labels for {len(training)} photos, so they are captions rather than labels",
            hint="name the column of the labels with --label-key COLUMN",
        )
    return names


def _embed(
    loaded: "LoadedModel", rows: "list[CaptionedImage]", names: list[str], batch_size: int, what: str
) -> "tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]":
    """Vectors of the readable photos, and the number of each one's label; -1 for one that training lacks."""
    import numpy as np

    from cocasearch.images.batching import decode_batches
    from cocasearch.inference.embedder import Embedder

    number = {name: index for index, name in enumerate(names)}
    embedder, vectors, labels, failures = Embedder(loaded), [], [], []
    with console.progress(what, "photos") as advance:
        for batch in decode_batches(rows, lambda row: row.image, loaded.preprocess, batch_size=batch_size):
            failures += [(row.key, error.reason) for row, error in batch.failures]
            if batch.items:
                vectors.append(embedder.embed_pixels(batch.pixels))
                labels += [number.get(row.captions[0], -1) for row in batch.items]
            advance(len(labels) + len(failures), len(rows))
    console.name_unreadable(failures)
    if not labels:
        raise CocaSearchError(f"none of {pluralize(len(rows), 'photo')} can be read")
    return np.concatenate(vectors), np.array(labels, dtype=np.int64)


def _row(name: str, found: "Accuracy") -> dict[str, object]:
    return {
        "labels_found by": name,
        "accuracy": found.top_1,
        "accuracy_95 %": "{:.3f} to {:.3f}".format(*found.interval),
        "top_5": found.top_5,
        "balanced": found.balanced,
        "balanced_95 %": "{:.3f} to {:.3f}".format(*found.balanced_interval),
    }
