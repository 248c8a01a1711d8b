"""Options of how captions are written, and what is said of it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cocasearch.cli import console
from cocasearch.cli.options.given_options import given_options, refuse_without_effect
from cocasearch.inference.generation.caption_options import STRATEGIES_OF
from cocasearch.inference.generation.caption_options import Strategy as StrategyName

if TYPE_CHECKING:
    from cocasearch.inference.generation.caption_options import CaptionOptions
    from cocasearch.inference.loaded_model import LoadedModel

NoCaptions = Annotated[bool, typer.Option("--no-captions", help="Vectors only: faster.")]
Compat = Annotated[
    Literal["openclip"] | None,
    typer.Option("--compat", help="Captions exactly as open_clip writes them.", show_default=False),
]
Strategy = Annotated[StrategyName, typer.Option(help="How words are chosen.")]
NumBeams = Annotated[
    int | None,
    typer.Option(min=1, help="Beam search: captions grown side by side.", show_default="5, 6 with --compat"),
]
Rerank = Annotated[
    float | None,
    typer.Option(
        help="Beam search: how much the photo's match with a caption counts.",
        show_default="4.0, 0 if the model is known to judge badly",
    ),
]
MinLength = Annotated[int, typer.Option(help="Token ids at least, start and end included.")]
MaxLength = Annotated[int, typer.Option(help="Token ids at most, start and end included.")]
Temperature = Annotated[float, typer.Option(help="Sampling: below 1 keeps to likely words.")]
TopK = Annotated[int, typer.Option(help="Sampling: from the k likeliest words, 0 from all.")]
TopP = Annotated[
    float | None,
    typer.Option(help="Sampling: from the likeliest words with this share.", show_default="1.0, 0.1 with --compat"),
]
RepetitionPenalty = Annotated[float, typer.Option(help="Above 1: no word twice if it can be helped.")]
LengthPenalty = Annotated[float, typer.Option(help="Beam search: more favours longer captions.")]
Prompt = Annotated[
    str,
    typer.Option(
        help="Words that the model goes on from. It knows no trigger word and goes astray after one: see --prefix.",
        show_default=False,
    ),
]
Prefix = Annotated[
    str, typer.Option(help="Put before each finished caption, such as a trigger word.", show_default=False)
]
Suffix = Annotated[str, typer.Option(help="Put behind each finished caption.", show_default=False)]
Seed = Annotated[int | None, typer.Option(help="Sampling: the same again.", show_default=False)]
NumBeamGroups = Annotated[
    int | None, typer.Option(help="With --compat: equal copies among the beams.", show_default="3")
]


def check_strategy(context: typer.Context, strategy: str) -> None:
    """Refuse options that another strategy alone looks at.

    Raises:
        typer.BadParameter: One was given.
    """
    refuse_without_effect(context, STRATEGIES_OF, strategy, f"with --strategy {strategy}")


def tell_cut(context: typer.Context, loaded: "LoadedModel", options: "CaptionOptions") -> None:
    """Say that the model cannot write captions as long as was asked for."""
    most = loaded.config.text.context_length
    if "max_length" in given_options(context) and options.max_length > most:
        console.say(
            f"mind: '{loaded.name}' writes at most {most} token ids, so --max-length {options.max_length} is {most}"
        )


def caption_options(**given: Any) -> "CaptionOptions":
    """How captions are written: as was given, and by the default of the mode where that is None."""
    from cocasearch.inference.generation.caption_options import CaptionOptions

    options = CaptionOptions(**{name: value for name, value in given.items() if value is not None})
    if options.ignores_prompt:
        console.say("the prompt is ignored: OpenCLIP's beam search takes none")
    return options


def default_caption_options(compat: Literal["openclip"] | None, *, no_captions: bool) -> "CaptionOptions | None":
    """How a command that has no other caption options writes captions; None if it writes none."""
    if compat and no_captions:
        raise typer.BadParameter("--compat and --no-captions exclude each other")
    return None if no_captions else caption_options(compat=compat)


def tell_other_ways(name: str, decodings: Sequence[dict[str, Any]], options: "CaptionOptions") -> None:
    """Say which captions of an index, that are kept, were written in another way than those to come."""
    from cocasearch.inference.generation.caption_options import CaptionOptions

    if others := [str(CaptionOptions(**one)) for one in decodings if one != options.to_dict()]:
        console.say(f"mind: '{name}' has captions by {' and by '.join(others)}; now {options}")
