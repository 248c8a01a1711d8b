"""Writing of captions from image tokens: one decoder pass over the prompt, then one cached step per token.

The searches, which choose the tokens, are in `decoding_strategies`, `beam_search`, `sampling` and `openclip_decoding`.
"""

import secrets
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from cocasearch.errors import CocaSearchError
from cocasearch.inference.caption_confidence import agreement, confidence_model_for
from cocasearch.inference.embedder import Embedder
from cocasearch.inference.generation.beam_search import BeamSearch
from cocasearch.inference.generation.caption_options import DEFAULT_OPTIONS, STRATEGIES_OF, CaptionOptions
from cocasearch.inference.generation.decoding_strategies import Decoded, PickLikeliest, Search, SingleSearch
from cocasearch.inference.generation.openclip_decoding import (
    OpenClipBeamRules,
    OpenClipBeamSearch,
    OpenClipRules,
    OpenClipSampling,
)
from cocasearch.inference.generation.sampling import PickAtRandom, draw_noise
from cocasearch.inference.generation.token_rules import TokenRules
from cocasearch.inference.loaded_model import LoadedModel
from cocasearch.model.coca import ImageFeatures

Rules = TypeVar("Rules", bound=TokenRules)


@dataclass(frozen=True)
class Caption:
    """A caption as the model wrote it.

    Attributes:
        text: The text, including the prompt.
        token_ids: The whole sequence: start, prompt, generated ids, end.
        token_logprobs: The model's own log-probability, before any option shaped it, of each generated id, that is of
            the last ids of `token_ids`, including the end.
        score: Cosine of the image and the caption; None if the image's vector is not known.
        agreement: How far the other finished sequences say the same, from 0 to 1; None if the score is None.
        confidence: Probability that the caption is right, from 0 to 1; None if the score is None, the model was never
            calibrated, or the caption was written with other options than those of the calibration.
    """

    text: str
    token_ids: tuple[int, ...]
    token_logprobs: tuple[float, ...]
    score: float | None = None
    agreement: float | None = None
    confidence: float | None = None

    @property
    def mean_logprob(self) -> float:
        """The mean log-probability of a generated token, at most 0: how sure the model was."""
        return sum(self.token_logprobs) / len(self.token_logprobs)


class Captioner:
    """The captioner of images that are given as pixels or as an image pass.

    Args:
        loaded: The model.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded

    @torch.inference_mode()
    def caption_pixels(self, pixels: Tensor, options: CaptionOptions = DEFAULT_OPTIONS) -> list[Caption]:
        """A caption of each image of `pixels` (B, 3, S, S), which the model's `preprocess` has made."""
        features = self._loaded.model.image_features(self._loaded.to_device(pixels))
        return self.caption_features(features, options, seeds=image_seeds(pixels, options))

    @torch.inference_mode()
    def caption_features(
        self, features: ImageFeatures, options: CaptionOptions = DEFAULT_OPTIONS, *, seeds: Sequence[int] | None = None
    ) -> list[Caption]:
        """A caption of each image of an image pass, with its score; arguments as for `caption_tokens`.

        Only here finished beams are reranked, that is, the contrastive half of the model ranks what the other half
        wrote, and captions get their confidence.
        """
        complete = self._loaded.complete(options)
        weight = complete.rerank or 0.0 if options.strategy in STRATEGIES_OF["rerank"] else 0.0
        confidence_model = confidence_model_for(self._loaded.confidence, complete)
        endings = self._search_all(features.tokens, options, seeds)
        texts = [[self._loaded.tokenizer.decode(decoded.ids) for decoded in ended] for ended in endings]
        n_eligible = [_n_eligible(ended, weight) for ended in endings]
        vectors = self._embed(text for of_image, n in zip(texts, n_eligible, strict=True) for text in of_image[:n])
        captions = []
        for ended, of_image, n, image in zip(endings, texts, n_eligible, features.embedding.cpu(), strict=True):
            scores = [float(image @ vectors[text]) for text in of_image[:n]]
            best = max(range(n), key=lambda place: ended[place].score + weight * scores[place])
            agreed = agreement(of_image, [sum(decoded.logprobs) for decoded in ended], best)
            caption = replace(self._caption(ended[best]), score=scores[best], agreement=agreed)
            if confidence_model:
                probability = confidence_model.probability((scores[best], caption.mean_logprob, agreed))
                caption = replace(caption, confidence=probability)
            captions.append(caption)
        return captions

    def _embed(self, texts: Iterable[str]) -> dict[str, Tensor]:
        """The vector of each text. Equal captions, such as of photos taken in a row, are embedded once."""
        different = list(dict.fromkeys(texts))
        vectors = torch.from_numpy(Embedder(self._loaded).embed_texts(different))
        return dict(zip(different, vectors, strict=True))

    @torch.inference_mode()
    def caption_tokens(
        self, image_tokens: Tensor, options: CaptionOptions = DEFAULT_OPTIONS, *, seeds: Sequence[int] | None = None
    ) -> list[Caption]:
        """A caption of each image from its image tokens (B, N, D) alone, without reranking.

        Args:
            image_tokens: The tokens of `CoCa.image_features`.
            options: How captions are written.
            seeds: A seed for each image, for sampling; without them every image draws from `options.seed`.

        Raises:
            CocaSearchError: The prompt leaves no room for words, there are more beams than half the vocabulary, or the
                weights give no numbers.
        """
        return [self._caption(ended[0]) for ended in self._search_all(image_tokens, options, seeds)]

    def _search_all(
        self, image_tokens: Tensor, options: CaptionOptions, seeds: Sequence[int] | None
    ) -> list[list[Decoded]]:
        """The finished sequences of each image, best first."""
        if not len(image_tokens):
            return []
        model = self._loaded.model
        prompt = self._prompt(len(image_tokens), options, image_tokens.device)
        search = self._search(prompt, options, seeds)
        logits, cache = model.prefill(image_tokens, prompt)
        self._refuse_no_numbers(logits)
        while (step := search.advance(logits)) is not None:
            if step.rows is not None:
                cache.select(step.rows, step.images)
            logits = model.decode_step(step.ids, cache)
        return search.results()

    def _refuse_no_numbers(self, logits: Tensor) -> None:
        if not logits.isfinite().all():
            raise CocaSearchError(
                f"the model '{self._loaded.name}' gives no numbers, computed in {self._loaded.dtype}: its weights are "
                "damaged, or too large for that type",
                hint="COCASEARCH_DTYPE=float32 in front of the same command",
            )

    def _max_length(self, options: CaptionOptions) -> int:
        context = self._loaded.config.text.context_length
        # OpenCLIP may add one id to a full context, since that id is never read.
        return min(options.max_length, context + 1 if options.compat else context)

    def _prompt(self, images: int, options: CaptionOptions, device: torch.device) -> Tensor:
        tokenizer = self._loaded.tokenizer
        prompt = "" if options.ignores_prompt else options.prompt
        ids = [tokenizer.sot_id, *(i for i in tokenizer.encode(prompt) if i != tokenizer.eot_id)]
        if len(ids) + 2 > self._max_length(options):
            raise CocaSearchError(
                f"the prompt '{prompt}' takes {len(ids)} of at most {self._max_length(options)} token ids, "
                "which leaves no room for a caption",
                hint="shorten the prompt or allow longer captions",
            )
        return torch.tensor(ids, device=device).repeat(images, 1)

    def _search(self, prompt: Tensor, options: CaptionOptions, seeds: Sequence[int] | None) -> Search:
        if options.strategy == "beam":
            return self._beam_search(prompt, options)
        rules: TokenRules = self._rules(OpenClipRules if options.compat else TokenRules, options)
        if options.strategy == "greedy":
            return SingleSearch(prompt, rules, PickLikeliest(rules))
        if seeds is None:
            seeds = [secrets.randbits(62) if options.seed is None else options.seed for _ in prompt]
        noise = draw_noise(seeds, rules.max_length, prompt.device)
        sampling = OpenClipSampling if options.compat else PickAtRandom
        return SingleSearch(prompt, rules, sampling(rules, noise, options.temperature, options.top_k, options.top_p))

    def _beam_search(self, prompt: Tensor, options: CaptionOptions) -> Search:
        vocab_size = self._loaded.config.output_vocab_size
        if 2 * options.group_size > vocab_size:
            raise CocaSearchError(f"num_beams is {options.num_beams}, more than half the vocabulary of {vocab_size}")
        if options.compat:
            return OpenClipBeamSearch(prompt, self._rules(OpenClipBeamRules, options), options.group_size)
        return BeamSearch(prompt, self._rules(TokenRules, options), options.num_beams, options.length_penalty)

    def _rules(self, kind: type[Rules], options: CaptionOptions) -> Rules:
        tokenizer = self._loaded.tokenizer
        return kind(
            sot_id=tokenizer.sot_id,
            eot_id=tokenizer.eot_id,
            pad_id=tokenizer.pad_id,
            min_length=options.min_length,
            max_length=self._max_length(options),
            repetition_penalty=options.repetition_penalty,
        )

    def _caption(self, decoded: Decoded) -> Caption:
        return Caption(self._loaded.tokenizer.decode(decoded.ids), decoded.ids, decoded.logprobs)


def _n_eligible(ended: list[Decoded], weight: float) -> int:
    """The number of sequences, best first, that might still win, whatever their cosines are."""
    return 1 + sum(other.score + weight > ended[0].score - weight for other in ended[1:])


def image_seeds(pixels: Tensor, options: CaptionOptions) -> list[int] | None:
    """A seed for each image of `pixels` (B, 3, S, S), made of its pixels and `options.seed`; None if nothing is drawn.

    So an image draws the same numbers in every batch, and different images draw different ones.
    """
    if options.strategy not in STRATEGIES_OF["seed"] or options.seed is None:
        return None
    rows = pixels.detach().float().cpu().contiguous().numpy()
    return [zlib.crc32(row.data, options.seed & 0xFFFFFFFF) for row in rows]
