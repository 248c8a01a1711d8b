"""What a fine-tuning was worth: the table of before and after on stdout, and the plain sentences about it."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cocasearch.cli import console
from cocasearch.counting import pluralize

if TYPE_CHECKING:
    from cocasearch.evaluation.comparison import ComparedFigure, Interval
    from cocasearch.training.model.interpolation_curve import CurvePoint
    from cocasearch.training.results import FinetuneResult


_NAMED = 3  # photos that are no longer captioned right; the rest is counted


def print_proof(result: "FinetuneResult", out: Path) -> None:
    """The tables on stdout; what they mean, on stderr."""
    photos = pluralize(result.comparison.n_images, "held-out photo")
    console.write_lines(f"{photos}, with 95 % intervals", _by_what_it_was_chosen(result.is_measured_apart), "")
    _print_figures(result.comparison.figures)
    console.write_lines("", f"what it knew before: {result.forgetting.guard}", "")
    _print_figures(result.forgetting.comparison.figures)
    console.write_lines("", "keeping a share of the starting weights (--keep)", "")
    console.write_table([_curve_row(point) for point in result.curve])
    for sentence in result.comparison.sentences():
        console.report(sentence)
    console.report(result.forgetting.sentence())
    _name_unlearned(result.forgetting.unlearned)
    if result.kept == 1:
        console.report("nothing got better: the model is as it was before training")
    elif result.comparison.proves_nothing:
        console.report(
            "more photos (a fifth of them is held out), or --val DATA, would show what was learned; "
            "the shares in the table are what --keep gives back of what it knew before"
        )
    else:
        console.report(suggestion(result.curve, result.kept, out))


def _name_unlearned(unlearned: Sequence[tuple[str, str]]) -> None:
    for path, caption in unlearned[:_NAMED]:
        console.report(f"  no longer captioned right: {console.shown(path)}: {caption}")
    if len(unlearned) > _NAMED:
        console.report(f"  and {len(unlearned) - _NAMED:,} more")


def _print_figures(figures: "Sequence[ComparedFigure]") -> None:
    console.write_table(list(map(_figure_row, figures)), may_go=("before_95 %", "after_95 %"))


def _by_what_it_was_chosen(apart: bool) -> str:
    from cocasearch.training.data.splitting import MEASURED_APART_FROM

    if apart:
        return "the weights were chosen, and the shares below measured, by as many other photos"
    return (
        "the weights were chosen by the same photos, so that those after look a little too good; of "
        f"{MEASURED_APART_FROM} held-out photos or more, half choose and half are measured"
    )


def suggestion(curve: Sequence["CurvePoint"], kept: float, out: Path) -> str:
    """Which share is best kept and how to get it.

    Args:
        curve: What each share of the starting weights gives, from none to all.
        kept: The share in the model folder `out`.
        out: That folder.
    """
    from cocasearch.training.model.interpolation_curve import TOLERATED_LOSS, suggested_point

    point, lost = suggested_point(curve), f"{100 * TOLERATED_LOSS:.0f} points, or one photo, of what it knew before"
    if point is None:
        return f"every share loses more than {lost}"
    written = shlex.quote(str(out))
    if point.keep == kept:
        how = f"{written} is that"
    elif point.keep < kept:
        how = f"{written} keeps {kept:g}, so it takes training anew with --keep {point.keep:g}"
    else:
        kept_folder = shlex.quote(f"{out}-kept")
        how = f"write it with: cocasearch models mix {written} --keep {point.keep:g} --out {kept_folder}"
    return f"--keep {point.keep:g} finds most of the new kind among the shares that lose at most {lost}; {how}"


def _figure_row(figure: "ComparedFigure") -> dict[str, Any]:
    return {
        "figure": figure.name,
        "before": figure.before,
        "after": figure.after,
        "difference": figure.difference,
        "difference_95 %": _span(figure.difference_interval),
        "verdict": figure.verdict,
        "before_95 %": _span(figure.before_interval),
        "after_95 %": _span(figure.after_interval),
    }


def _curve_row(point: "CurvePoint") -> dict[str, Any]:
    row: dict[str, Any] = {"keep": f"{point.keep:g}"}
    for kind, scores in (("new", point.new), ("guard", point.old)):
        for k in (1, 10):
            row[f"{kind}_t2i@{k}"] = scores.text_to_image.at[k]
            row[f"{kind}_i2t@{k}"] = scores.image_to_text.at[k]
    return row


def _span(interval: "Interval | None") -> str | None:
    return interval and f"{interval[0]:.3f} to {interval[1]:.3f}"
