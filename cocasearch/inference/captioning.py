"""Image tokens in, captions out: one decoder pass over the prompt, then one cached step per token.

Receives pixels or the image tokens of a pass already made, hands on captions with their log-probabilities. How tokens
are chosen is `decoding_strategies`' matter; knows nothing about files.
"""

import secrets
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from cocasearch.errors import CocaSearchError
from cocasearch.inference.beam_search import BeamSearch
from cocasearch.inference.decoding_strategies import Decoded, PickLikeliest, Search, SingleSearch
from cocasearch.inference.embedding import Embedder
from cocasearch.inference.loaded_model import LoadedModel
from cocasearch.inference.sampling import PickAtRandom, draw_noise
from cocasearch.inference.token_rules import TokenRules
from cocasearch.model.coca import ImageFeatures

STRATEGIES = ("beam", "greedy", "sample")


@dataclass(frozen=True)
class CaptionOptions:
    """How captions are written. Lengths count token ids, the start and the end included.

    Attributes:
        strategy: `beam` (the likeliest of `num_beams` sequences), `greedy` or `sample`.
        num_beams: Sequences grown side by side; `beam` only.
        rerank: `beam` only: how much the cosine of picture and caption counts beside the log-probability when one of
            the finished sequences is chosen; 0 leaves it out. Both come from the same model and image pass.
        min_length: No caption ends before it.
        max_length: Every caption has ended by then; never more than the model's context.
        temperature: `sample` only: above 0, lower is closer to greedy.
        top_k: `sample` only: draw from the k likeliest ids; 0 for all.
        top_p: `sample` only: draw from the likeliest ids that together have this probability.
        repetition_penalty: Above 1 makes ids that already occur less likely.
        length_penalty: `beam` only: 0 favours short captions, 1 ranks by the mean log-probability, more favours long.
        prompt: What every caption starts with.
        seed: `sample` only: the same picture and seed give the same caption, in any batch; None for chance.

    Raises:
        CocaSearchError: A value out of its range.
    """

    strategy: Literal["beam", "greedy", "sample"] = "beam"
    num_beams: int = 5
    rerank: float = 4.0
    min_length: int = 5
    max_length: int = 30
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    length_penalty: float = 1.0
    prompt: str = ""
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise CocaSearchError(f"unknown strategy '{self.strategy}'; known are {', '.join(STRATEGIES)}")
        ranges = {
            "num_beams": (self.num_beams >= 1, "at least 1"),
            "rerank": (self.rerank >= 0, "0 (off) or more"),
            "max_length": (self.max_length >= 3, "at least 3: start, one token, end"),
            "min_length": (self.min_length <= self.max_length, f"at most max_length, {self.max_length}"),
            "temperature": (self.temperature > 0, "above 0"),
            "top_k": (self.top_k >= 0, "0 (off) or more"),
            "top_p": (0 < self.top_p <= 1, "above 0 and at most 1"),
            "repetition_penalty": (self.repetition_penalty > 0, "above 0"),
        }
        for name, (within, allowed) in ranges.items():
            if not within:
                raise CocaSearchError(f"{name} is {getattr(self, name)}, but must be {allowed}")


DEFAULT_OPTIONS = CaptionOptions()


@dataclass(frozen=True)
class Caption:
    """One caption as the model wrote it.

    Attributes:
        text: The words, the prompt included.
        token_ids: The whole sequence: start, prompt, what was generated, end.
        token_logprobs: The model's own log-probability, before any option shaped it, of each generated id, that is of
            the last ids of `token_ids`, the end included.
        score: Cosine of the picture and the caption; None where the picture's vector was not at hand.
    """

    text: str
    token_ids: tuple[int, ...]
    token_logprobs: tuple[float, ...]
    score: float | None = None

    @property
    def mean_logprob(self) -> float:
        """Mean log-probability per generated token: how sure the model was, at most 0."""
        return sum(self.token_logprobs) / len(self.token_logprobs)


class Captioner:
    """Writes captions for pictures.

    Args:
        loaded: The model that writes.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded

    @torch.inference_mode()
    def caption_pixels(self, pixels: Tensor, options: CaptionOptions = DEFAULT_OPTIONS) -> list[Caption]:
        """One caption per picture of `pixels` (B, 3, S, S), as the model's `preprocess` makes them."""
        features = self._loaded.model.image_features(self._loaded.place_pixels(pixels))
        return self.caption_features(features, options, seeds=picture_seeds(pixels, options))

    @torch.inference_mode()
    def caption_features(
        self, features: ImageFeatures, options: CaptionOptions = DEFAULT_OPTIONS, *, seeds: Sequence[int] | None = None
    ) -> list[Caption]:
        """One caption per picture from what an image pass gave, each with its score; arguments as `caption_tokens`.

        Here alone finished beams are reranked: the contrastive half of the model judges what the other half wrote.
        """
        weight = options.rerank if options.strategy == "beam" else 0.0
        endings = [ended if weight else ended[:1] for ended in self._search_all(features.tokens, options, seeds)]
        texts = [self._loaded.tokenizer.decode(decoded.ids) for ended in endings for decoded in ended]
        vectors = iter(torch.from_numpy(Embedder(self._loaded).embed_texts(texts)))
        captions = []
        for ended, image in zip(endings, features.embedding.cpu(), strict=True):
            scores = [float(image @ next(vectors)) for _ in ended]
            best = max(range(len(ended)), key=lambda place: ended[place].score + weight * scores[place])
            captions.append(replace(self._caption(ended[best]), score=scores[best]))
        return captions

    @torch.inference_mode()
    def caption_tokens(
        self, image_tokens: Tensor, options: CaptionOptions = DEFAULT_OPTIONS, *, seeds: Sequence[int] | None = None
    ) -> list[Caption]:
        """One caption per picture from its image tokens (B, N, D) alone: no second image pass, no reranking.

        Args:
            image_tokens: What `CoCa.image_features` gives.
            options: How to write.
            seeds: One per picture, for sampling; without them every picture draws from `options.seed`.

        Raises:
            CocaSearchError: A prompt that leaves no room for words, or more beams than the vocabulary bears.
        """
        return [self._caption(ended[0]) for ended in self._search_all(image_tokens, options, seeds)]

    def _search_all(
        self, image_tokens: Tensor, options: CaptionOptions, seeds: Sequence[int] | None
    ) -> list[list[Decoded]]:
        """The finished sequences of each picture, best first."""
        if not len(image_tokens):
            return []
        model = self._loaded.model
        prompt = self._prompt(len(image_tokens), options, image_tokens.device)
        search = self._search(prompt, options, seeds)
        logits, cache = model.prefill(image_tokens, prompt)
        while (step := search.advance(logits)) is not None:
            if step.rows is not None:
                cache.select(step.rows, step.images)
            logits = model.decode_step(step.ids, cache)
        return search.results()

    def _max_length(self, options: CaptionOptions) -> int:
        return min(options.max_length, self._loaded.config.text.context_length)

    def _prompt(self, images: int, options: CaptionOptions, device: torch.device) -> Tensor:
        tokenizer = self._loaded.tokenizer
        ids = [tokenizer.sot_id, *(i for i in tokenizer.encode(options.prompt) if i != tokenizer.eot_id)]
        if len(ids) + 2 > self._max_length(options):
            raise CocaSearchError(
                f"the prompt '{options.prompt}' takes {len(ids)} of at most {self._max_length(options)} token ids, "
                "which leaves no room for a caption",
                hint="shorten the prompt or allow longer captions",
            )
        return torch.tensor(ids, device=device).repeat(images, 1)

    def _search(self, prompt: Tensor, options: CaptionOptions, seeds: Sequence[int] | None) -> Search:
        tokenizer = self._loaded.tokenizer
        rules = TokenRules(
            sot_id=tokenizer.sot_id,
            eot_id=tokenizer.eot_id,
            pad_id=tokenizer.pad_id,
            min_length=options.min_length,
            max_length=self._max_length(options),
            repetition_penalty=options.repetition_penalty,
        )
        if options.strategy == "greedy":
            return SingleSearch(prompt, rules, PickLikeliest(rules))
        if options.strategy == "sample":
            if seeds is None:
                seeds = [secrets.randbits(62) if options.seed is None else options.seed for _ in prompt]
            noise = draw_noise(seeds, rules.max_length, prompt.device)
            return SingleSearch(
                prompt, rules, PickAtRandom(rules, noise, options.temperature, options.top_k, options.top_p)
            )
        if 2 * options.num_beams > self._loaded.config.text.vocab_size:
            raise CocaSearchError(
                f"num_beams is {options.num_beams}, more than half the vocabulary of "
                f"{self._loaded.config.text.vocab_size}"
            )
        return BeamSearch(prompt, rules, options.num_beams, options.length_penalty)

    def _caption(self, decoded: Decoded) -> Caption:
        return Caption(self._loaded.tokenizer.decode(decoded.ids), decoded.ids, decoded.logprobs)


def picture_seeds(pixels: Tensor, options: CaptionOptions) -> list[int] | None:
    """One seed per picture of `pixels` (B, 3, S, S), from what it shows and `options.seed`; None if nothing is drawn.

    So a picture draws the same numbers in every batch, and different pictures different ones.
    """
    if options.strategy != "sample" or options.seed is None:
        return None
    rows = pixels.detach().float().cpu().contiguous().numpy()
    return [zlib.crc32(row.data, options.seed & 0xFFFFFFFF) for row in rows]
