"""Options of how captions are written, and the messages about them."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cocasearch.cli import console
from cocasearch.cli.options.given_options import given_options, refuse_without_effect
from cocasearch.cli.options.option_groups import caption_option
from cocasearch.errors import CocaSearchError
from cocasearch.inference.generation.caption_options import STRATEGIES_OF

if TYPE_CHECKING:
    from cocasearch.inference.generation.caption_options import CaptionOptions
    from cocasearch.inference.loaded_model import LoadedModel

NoCaptions = Annotated[bool, caption_option("--no-captions", help="Write no captions, which is faster.")]
Compat = Annotated[
    Literal["openclip"] | None,
    caption_option("--compat", metavar="openclip", help="Write captions exactly as OpenCLIP (openclip) does."),
]
Strategy = Annotated[
    Literal["beam", "greedy", "sample"],
    caption_option(metavar="NAME", help="How words are chosen: by beam search (beam), greedy or at random (sample)."),
]
NumBeams = Annotated[
    int | None, caption_option(min=1, help="Beam search: number of beams.", show_default="5, 6 with --compat")
]
Rerank = Annotated[
    float | None,
    caption_option(
        help="Beam search: weight of the similarity of photo and caption in the choice among finished captions.",
        show_default="4.0; 0 for models that cannot rerank captions",
    ),
]
MinLength = Annotated[int, caption_option(help="Shortest caption in tokens, with start and end.")]
MaxLength = Annotated[int, caption_option(help="Longest caption in tokens, with start and end.")]
Temperature = Annotated[float, caption_option(help="Sampling: temperature; lower values prefer likely words.")]
TopK = Annotated[int, caption_option(help="Sampling: number of likeliest words to draw from; 0 for all.")]
TopP = Annotated[
    float | None,
    caption_option(
        help="Sampling: total probability of the likeliest words to draw from.", show_default="1.0, 0.1 with --compat"
    ),
]
RepetitionPenalty = Annotated[float, caption_option(help="Penalty for words that a caption already has; 1 for none.")]
LengthPenalty = Annotated[float, caption_option(help="Beam search: higher values favour longer captions.")]
Prompt = Annotated[
    str,
    caption_option(
        metavar="TEXT", help="Words that the model continues. For a trigger word, which no model knows, use --prefix."
    ),
]
Prefix = Annotated[
    str, caption_option(metavar="TEXT", help="Text before each finished caption, such as a trigger word.")
]
Suffix = Annotated[str, caption_option(metavar="TEXT", help="Text after each finished caption.")]
Seed = Annotated[int | None, caption_option(help="Sampling: random seed.")]
NumBeamGroups = Annotated[
    int | None, caption_option(help="With --compat: number of equal groups of beams.", show_default="3")
]


def check_strategy(context: typer.Context, strategy: str) -> None:
    """Refuse options that have an effect with another strategy only.

    Raises:
        typer.BadParameter: One was given.
    """
    refuse_without_effect(context, STRATEGIES_OF, strategy, f"with --strategy {strategy}")


def report_cut_length(context: typer.Context, loaded: "LoadedModel", options: "CaptionOptions") -> None:
    """Report that the model cannot write captions of the length that was asked for."""
    most = loaded.config.text.context_length
    if "max_length" in given_options(context) and options.max_length > most:
        asked = f"--max-length {options.max_length}"
        console.report(f"warning: '{loaded.name}' writes at most {most} tokens, so {asked} is reduced to {most}")


def caption_options(parameters: Mapping[str, Any]) -> "CaptionOptions":
    """The caption options among the parameters of a command; those that are None have the mode's default.

    Raises:
        typer.BadParameter: A value is out of its range, or has no meaning beside another.
    """
    from cocasearch.inference.generation.caption_options import CaptionOptions

    names = [field.name for field in dataclasses.fields(CaptionOptions)]
    try:
        options = CaptionOptions(**{name: parameters[name] for name in names if parameters.get(name) is not None})
    except CocaSearchError as error:
        raise typer.BadParameter(str(error)) from error
    if options.ignores_prompt:
        console.report("the prompt is ignored: OpenCLIP's beam search takes none")
    return options


def default_caption_options(compat: Literal["openclip"] | None, *, no_captions: bool) -> "CaptionOptions | None":
    """The caption options of a command that has no others; None if it writes no captions.

    Raises:
        typer.BadParameter: Both are given.
    """
    if compat and no_captions:
        raise typer.BadParameter("--compat and --no-captions cannot be used together")
    return None if no_captions else caption_options({"compat": compat})


def report_settings(name: str, earlier: Sequence[dict[str, Any]], options: "CaptionOptions") -> None:
    """Report which captions of an index were written with other settings than those to come."""
    from cocasearch.inference.generation.caption_options import CaptionOptions

    if others := [str(CaptionOptions(**one)) for one in earlier if one != options.to_dict()]:
        console.report(
            f"warning: '{name}' has captions written by {' and by '.join(others)}; new ones are by {options}"
        )
