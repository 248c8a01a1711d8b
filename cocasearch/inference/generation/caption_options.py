"""The options of captioning: those of every strategy, with their ranges and each mode's own defaults."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from cocasearch.errors import CocaSearchError

Strategy = Literal["beam", "greedy", "sample"]
"""The ways to choose the next token; `captioner` has the search for each."""

Compat = Literal["", "openclip"]
STRATEGIES_OF = {
    **dict.fromkeys(("num_beams", "rerank", "length_penalty", "num_beam_groups"), ("beam",)),
    **dict.fromkeys(("temperature", "top_k", "top_p", "seed"), ("sample",)),
}
"""The strategies for which an option has a meaning; options that are not here are for all."""

_RERANK = 4.0
_OWN_DEFAULT: Any = None  # stands for a default that depends on the mode, until the options are made


@dataclass(frozen=True)
class CaptionOptions:
    """The options with which captions are written. Lengths count token ids, including the start and the end.

    With `compat="openclip"` captions are those of open_clip's `generate`, id for id: beams are ranked by the mean of
    their raw logits, take no prompt (it is ignored) and have no end where `max_length` cuts them; `greedy` is its
    `top_k` of 1, and `sample` filters by `top_k` where that is given, else by `top_p`, before the temperature.

    Attributes:
        strategy: `beam` (the likeliest of `num_beams` sequences), `greedy` or `sample`.
        num_beams: `beam` only: number of sequences grown side by side. 5 by default, 6 in compat.
        rerank: `beam` only: how much the cosine of image and caption counts beside the log-probability when one of
            the finished sequences is chosen; 0 ignores it. Both come from the same model and image pass. None means 4
            if the model can rerank captions, else 0 (`for_model`); always 0 in compat.
        min_length: Least length of a caption; in compat the end counts as one more, as in OpenCLIP.
        max_length: Greatest length of a caption; never more than the model's context.
        temperature: `sample` only: above 0; lower is closer to greedy.
        top_k: `sample` only: draw from the k likeliest ids; 0 for all.
        top_p: `sample` only: draw from the likeliest ids with this probability together. 1 by default, 0.1 in compat.
        repetition_penalty: Above 1 makes ids that already occur less likely.
        length_penalty: `beam` only: 0 favours short captions, 1 ranks by the mean log-probability, more favours long.
        prompt: Text that every caption starts with.
        seed: `sample` only: the same image and seed give the same caption, in any batch. None draws anew each time.
        compat: "openclip" for captions as OpenCLIP writes them; "" for ours.
        num_beam_groups: Compat only: number of identical copies of `num_beams / num_beam_groups` beams, of which one is
            computed. 3 by default in compat.

    Raises:
        CocaSearchError: A value is out of its range, or excludes another.
    """

    strategy: Strategy = "beam"
    num_beams: int = _OWN_DEFAULT
    rerank: float | None = None
    min_length: int = 5
    max_length: int = 30
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = _OWN_DEFAULT
    repetition_penalty: float = 1.0
    length_penalty: float = 1.0
    prompt: str = ""
    seed: int | None = None
    compat: Compat = ""
    num_beam_groups: int = _OWN_DEFAULT

    def __post_init__(self) -> None:
        for name, known in (("strategy", get_args(Strategy)), ("compat", get_args(Compat))):
            if getattr(self, name) not in known:
                wanted = ", ".join(filter(None, known))
                raise CocaSearchError(f"unknown {name} '{getattr(self, name)}'; known are {wanted}")
        if self.compat:
            self._refuse_mixtures()
        self._fill_in()
        for name, (within, allowed) in self._ranges().items():
            if not within:
                raise CocaSearchError(f"{name} is {getattr(self, name)}, but must be {allowed}")

    @property
    def group_size(self) -> int:
        """The number of different beams, which are computed."""
        return self.num_beams // self.num_beam_groups

    @property
    def ignores_prompt(self) -> bool:
        """Whether there is a prompt that OpenCLIP's beam search would ignore."""
        return bool(self.compat and self.strategy == "beam" and self.prompt)

    def for_model(self, *, can_rerank: bool) -> "CaptionOptions":
        """The options with what depends on the model: whether its contrastive half can rerank captions."""
        return self if self.rerank is not None else replace(self, rerank=_RERANK if can_rerank else 0.0)

    def to_dict(self) -> dict[str, Any]:
        """The options by name; those of compat only in compat, so that records without it stay comparable."""
        options = asdict(self)
        return options if self.compat else {name: options[name] for name in options if name not in _COMPAT_ONLY}

    def __str__(self) -> str:
        """The strategy, its main options, and those that are not the default: 'beam, num_beams 5, rerank 4.0'."""
        usual = CaptionOptions(self.strategy, compat=self.compat)
        always = {"num_beams"} if self.compat else {"num_beams", "rerank"}
        mode = f" as {self.compat}'s" if self.compat else ""
        named = [
            f"{name} {value}"
            for name, value in asdict(self).items()
            if name != "strategy"
            and self.strategy in STRATEGIES_OF.get(name, (self.strategy,))
            and (name in always or value != getattr(usual, name))
        ]
        return ", ".join([self.strategy + mode, *named])

    def _refuse_mixtures(self) -> None:
        mixtures = {
            "OpenCLIP does not rerank captions; leave out rerank": bool(self.rerank),
            "OpenCLIP's beams have no length penalty; leave out length_penalty": self.length_penalty != 1.0,
            "OpenCLIP samples by top_k or by top_p; leave out one of them": self.top_k > 0
            and self.top_p not in (_OWN_DEFAULT, 1.0),
        }
        for message, given in mixtures.items():
            if given:
                raise CocaSearchError(message)

    def _fill_in(self) -> None:
        own = {"num_beams": 5, "num_beam_groups": 1, "top_p": 1.0}
        openclips = {"num_beams": 6, "num_beam_groups": 3, "rerank": 0.0, "top_p": 1.0 if self.top_k else 0.1}
        for name, default in (openclips if self.compat else own).items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, default)

    def _ranges(self) -> dict[str, tuple[bool, str]]:
        compat = bool(self.compat)
        fewest = 2 if compat and self.strategy == "beam" else 1
        groups = f"a divisor of num_beams, {self.num_beams}" if compat else "left out, except with compat 'openclip'"
        groups_fit = self.num_beam_groups >= 1 and self.num_beams % self.num_beam_groups == 0
        latest, below = (self.max_length - 1, "less than") if compat else (self.max_length, "at most")
        return {
            "num_beams": (self.num_beams >= fewest, f"at least {fewest}"),
            "rerank": (self.rerank is None or self.rerank >= 0, "0 (off) or more"),
            "max_length": (self.max_length >= 3, "at least 3: start, one token, end"),
            "min_length": (self.min_length <= latest, f"{below} max_length, {self.max_length}"),
            "temperature": (self.temperature > 0, "above 0"),
            "top_k": (self.top_k >= 0, "0 (off) or more"),
            "top_p": (0 < self.top_p <= 1, "above 0 and at most 1"),
            "repetition_penalty": (self.repetition_penalty > 0, "above 0"),
            "num_beam_groups": (groups_fit if compat else self.num_beam_groups == 1, groups),
        }


_COMPAT_ONLY = ("compat", "num_beam_groups")
DEFAULT_OPTIONS = CaptionOptions()
