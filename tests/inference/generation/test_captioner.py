"""Captions, with the slow and obvious search as the oracle of the fast one.

The oracle reads the whole image and the whole prefix again for every token, one image at a time, in plain loops.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from cocasearch.errors import CocaSearchError
from cocasearch.inference.generation.caption_options import CaptionOptions
from cocasearch.inference.generation.captioner import Captioner, image_seeds
from cocasearch.inference.loaded_model import LoadedModel

Build = Callable[[int], LoadedModel]
SEEDS = (0, 5, 11)  # models whose captions end early, late and not at all
OPTIONS = {
    "greedy": CaptionOptions("greedy"),
    "greedy prompt": CaptionOptions("greedy", prompt="two dogs", min_length=8),
    "greedy penalised": CaptionOptions("greedy", repetition_penalty=1.7),
    "beam": CaptionOptions(),
    "beam by likelihood alone": CaptionOptions(num_beams=3, rerank=0.0),
    "beam short": CaptionOptions(num_beams=4, length_penalty=0.0, min_length=2),
    "beam prompt penalised": CaptionOptions(num_beams=5, prompt="a red", repetition_penalty=1.3, length_penalty=1.5),
    "beam cut": CaptionOptions(num_beams=2, min_length=3, max_length=6),
    "sample": CaptionOptions("sample", seed=5),
    "sample cut": CaptionOptions("sample", seed=6, temperature=0.7, top_k=9, top_p=0.8, prompt="a", min_length=9),
    "sample penalised": CaptionOptions("sample", seed=-1, temperature=1.3, top_p=0.6, repetition_penalty=1.5),
}
COMPAT = {
    "compat": CaptionOptions(compat="openclip"),
    "compat wide": CaptionOptions(num_beams=8, num_beam_groups=2, max_length=12, compat="openclip"),
    "compat greedy": CaptionOptions("greedy", compat="openclip", repetition_penalty=1.3),
    "compat sample": CaptionOptions("sample", compat="openclip", top_p=0.8, temperature=1.5, seed=3, prompt="a"),
}
named = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
Naive = tuple[list[int], list[float]]


@pytest.mark.parametrize("seed", SEEDS)
@named
def test_captions_are_those_of_the_naive_search(
    options: CaptionOptions, seed: int, tiny_loaded: Build, pixels: Tensor
) -> None:
    loaded = tiny_loaded(seed)
    captions = Captioner(loaded).caption_pixels(pixels, options)
    for image, caption in zip(pixels, captions, strict=True):
        ids, logprobs = naive_caption(loaded, image, options)
        assert list(caption.token_ids) == ids
        assert list(caption.token_logprobs) == pytest.approx(logprobs, abs=1e-4)


@pytest.mark.parametrize("options", (OPTIONS | COMPAT).values(), ids=OPTIONS | COMPAT)
def test_an_image_gets_the_same_caption_in_every_batch(
    options: CaptionOptions, tiny_loaded: Build, pixels: Tensor
) -> None:
    captioner = Captioner(tiny_loaded(0))
    together = [caption.token_ids for caption in captioner.caption_pixels(pixels, options)]
    alone = [captioner.caption_pixels(image[None], options)[0].token_ids for image in pixels]
    backwards = [caption.token_ids for caption in captioner.caption_pixels(pixels.flip(0), options)]
    assert together == alone == backwards[::-1]


@named
def test_captions_end_once_within_their_lengths(options: CaptionOptions, tiny_loaded: Build, pixels: Tensor) -> None:
    for loaded in map(tiny_loaded, SEEDS):
        tokenizer, longest = loaded.tokenizer, min(options.max_length, loaded.config.text.context_length)
        for caption in Captioner(loaded).caption_pixels(pixels, options):
            assert options.min_length <= len(caption.token_ids) <= longest
            assert caption.token_ids[-1] == tokenizer.eot_id and caption.token_ids.count(tokenizer.eot_id) == 1
            assert caption.token_ids.count(tokenizer.sot_id) == 1 and tokenizer.pad_id not in caption.token_ids
            assert caption.text.startswith(options.prompt)


def test_the_tiny_models_end_captions_of_their_own_accord(tiny_loaded: Build, pixels: Tensor) -> None:
    captions = [c for seed in SEEDS for c in Captioner(tiny_loaded(seed)).caption_pixels(pixels)]
    assert len({len(caption.token_ids) for caption in captions}) > 2


def test_log_probabilities_are_the_models_own_whatever_shaped_the_choice(tiny_loaded: Build, pixels: Tensor) -> None:
    loaded = tiny_loaded(11)
    options = CaptionOptions("sample", temperature=0.5, repetition_penalty=2.0, prompt="a", seed=0)
    for image, caption in zip(pixels, Captioner(loaded).caption_pixels(pixels, options), strict=True):
        ids = torch.tensor([caption.token_ids])
        logits = loaded.model(image[None], ids[:, :-1]).caption_logits[0]
        own = logits.log_softmax(-1).gather(1, ids[0, 1:, None])[-len(caption.token_logprobs) :, 0]
        assert caption.token_logprobs == pytest.approx(own.tolist(), abs=1e-4)
        assert caption.mean_logprob == pytest.approx(float(own.mean()), abs=1e-4)


@pytest.mark.parametrize(
    "options",
    [CaptionOptions(num_beams=1), CaptionOptions("sample", top_k=1), CaptionOptions("sample", temperature=1e-4)],
    ids=["one beam", "top 1", "cold"],
)
def test_greedy_by_another_name(options: CaptionOptions, tiny_loaded: Build, pixels: Tensor) -> None:
    captioner = Captioner(tiny_loaded(0))
    assert captioner.caption_pixels(pixels, options) == captioner.caption_pixels(pixels, CaptionOptions("greedy"))


def test_more_beams_find_likelier_captions(tiny_loaded: Build, pixels: Tensor) -> None:
    def likelihood(options: CaptionOptions) -> float:
        captions = [c for seed in SEEDS for c in Captioner(tiny_loaded(seed)).caption_pixels(pixels, options)]
        return sum(caption.mean_logprob for caption in captions)

    few, many = (CaptionOptions(num_beams=beams, rerank=0.0) for beams in (3, 9))
    assert likelihood(CaptionOptions("greedy")) < likelihood(few) < likelihood(many)


def test_reranking_trades_likelihood_for_captions_that_match_their_image(tiny_loaded: Build, pixels: Tensor) -> None:
    def mean(values: list[float | None]) -> float:
        return sum(value or 0.0 for value in values) / len(values)

    plain, matched = (
        [
            c
            for seed in SEEDS
            for c in Captioner(tiny_loaded(seed)).caption_pixels(pixels, CaptionOptions(rerank=weight))
        ]
        for weight in (0.0, 100.0)
    )
    assert mean([c.score for c in matched]) > mean([c.score for c in plain]) + 0.01
    assert mean([c.mean_logprob for c in matched]) < mean([c.mean_logprob for c in plain])


def test_a_model_that_cannot_judge_reranks_only_when_told(tiny_loaded: Build, pixels: Tensor) -> None:
    judge, blind = tiny_loaded(0), replace(tiny_loaded(0), can_rerank=False)

    def scores(loaded: LoadedModel, options: CaptionOptions) -> list[tuple[int, ...]]:
        return [caption.token_ids for caption in Captioner(loaded).caption_pixels(pixels, options)]

    plain, matched = (scores(judge, CaptionOptions(rerank=weight)) for weight in (0.0, 4.0))
    assert scores(judge, CaptionOptions()) == matched != plain
    assert scores(blind, CaptionOptions()) == plain
    assert scores(blind, CaptionOptions(rerank=4.0)) == matched


def test_only_captions_that_can_win_are_embedded_and_each_once(
    tiny_loaded: Build, pixels: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, embedded = tiny_loaded(0), []
    encode = loaded.model.encode_text
    monkeypatch.setattr(loaded.model, "encode_text", lambda ids: embedded.append(len(ids)) or encode(ids))

    def texts_of(images: Tensor, weight: float) -> int:
        embedded.clear()
        Captioner(loaded).caption_pixels(images, CaptionOptions(rerank=weight))
        return sum(embedded)

    assert texts_of(pixels, 4.0) > texts_of(pixels, 0.01) >= texts_of(pixels, 0.0) == len(pixels)
    assert texts_of(pixels[:1].repeat(3, 1, 1, 1), 4.0) == texts_of(pixels[:1], 4.0)


def test_image_tokens_alone_give_the_likeliest_caption(tiny_loaded: Build, pixels: Tensor) -> None:
    loaded = tiny_loaded(0)
    captions = Captioner(loaded).caption_tokens(loaded.model.image_features(pixels).tokens)
    plain = Captioner(loaded).caption_pixels(pixels, CaptionOptions(rerank=0.0))
    assert [c.token_ids for c in captions] == [c.token_ids for c in plain]
    assert {c.score for c in captions} == {None}


def test_sampling_repeats_with_a_seed_and_varies_without(tiny_loaded: Build, pixels: Tensor) -> None:
    captioner = Captioner(tiny_loaded(0))

    def texts(seed: int | None) -> list[str]:
        return [caption.text for caption in captioner.caption_pixels(pixels, CaptionOptions("sample", seed=seed))]

    assert texts(1) == texts(1) != texts(2)
    assert texts(None) != texts(None)


def test_images_that_are_done_leave_the_batch(
    tiny_loaded: Build, pixels: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, rows = tiny_loaded(11), []
    step = loaded.model.decode_step
    monkeypatch.setattr(loaded.model, "decode_step", lambda ids, cache: rows.append(len(ids)) or step(ids, cache))
    for options in (CaptionOptions("sample", seed=0), CaptionOptions("sample", seed=1)):
        rows.clear()
        captions = Captioner(loaded).caption_pixels(pixels, options)
        open_after = [sum(len(caption.token_ids) > length for caption in captions) for length in range(2, 17)]
        assert rows == [count for count in open_after if count]


def test_no_images_no_captions(tiny_loaded: Build, pixels: Tensor) -> None:
    assert Captioner(tiny_loaded(0)).caption_pixels(pixels[:0]) == []


@pytest.mark.parametrize("strategy", ["beam", "greedy", "sample"])
def test_a_model_that_gives_no_numbers_is_told(tiny_loaded: Build, pixels: Tensor, strategy: Any) -> None:
    loaded = tiny_loaded(0)
    loaded.model.multimodal_decoder.vocabulary.weight.data[3] = torch.nan
    with pytest.raises(CocaSearchError, match=r"gives no numbers, computed in torch\.float32"):
        Captioner(loaded).caption_pixels(pixels, CaptionOptions(strategy=strategy))


def test_a_prompt_without_room_for_words_is_refused(tiny_loaded: Build, pixels: Tensor) -> None:
    with pytest.raises(CocaSearchError, match="leaves no room"):
        Captioner(tiny_loaded(0)).caption_pixels(pixels, CaptionOptions(prompt="a red dog " * 8))
    with pytest.raises(CocaSearchError, match="more than half the vocabulary"):
        Captioner(tiny_loaded(0)).caption_pixels(pixels, CaptionOptions(num_beams=300))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("strategy", "best"),
        ("num_beams", 0),
        ("rerank", -1.0),
        ("min_length", 31),
        ("max_length", 2),
        ("temperature", 0.0),
        ("top_k", -1),
        ("top_p", 0.0),
        ("repetition_penalty", 0.0),
    ],
)
def test_options_out_of_range_are_named(name: str, value: object) -> None:
    with pytest.raises(CocaSearchError, match=name):
        replace(CaptionOptions(min_length=1), **{name: value})


def naive_caption(loaded: LoadedModel, image: Tensor, options: CaptionOptions) -> Naive:
    prompt = [loaded.tokenizer.sot_id, *loaded.tokenizer.encode(options.prompt)]
    if options.strategy == "beam":
        return _naive_beam(loaded, image, options, prompt)
    pick = _likeliest if options.strategy == "greedy" else _drawn(image, options)
    ids, logprobs = list(prompt), []
    while ids[-1] != loaded.tokenizer.eot_id:
        allowed, own = _next_logprobs(loaded, image, ids, options)
        ids.append(pick(allowed))
        logprobs.append(own[ids[-1]])
    return ids, logprobs


def _naive_beam(loaded: LoadedModel, image: Tensor, options: CaptionOptions, prompt: list[int]) -> Naive:
    beams: list[tuple[float, list[int], list[float]]] = [(0.0, prompt, [])]
    ended: list[tuple[float, list[int], list[float]]] = []
    while True:
        candidates = []
        for score, ids, logprobs in beams:
            allowed, own = _next_logprobs(loaded, image, ids, options)
            likeliest = sorted(range(len(allowed)), key=allowed.__getitem__, reverse=True)[: 2 * options.num_beams]
            candidates += [(score + allowed[i], [*ids, i], [*logprobs, own[i]]) for i in likeliest]
        candidates = sorted((c for c in candidates if c[0] > -math.inf), reverse=True)[: 2 * options.num_beams]
        norm = len(candidates[0][2]) ** options.length_penalty
        for score, ids, logprobs in candidates[: options.num_beams]:
            if ids[-1] == loaded.tokenizer.eot_id:
                ended.append((score / norm, ids, logprobs))
        ended = sorted(ended, reverse=True)[: options.num_beams]
        beams = [c for c in candidates if c[1][-1] != loaded.tokenizer.eot_id][: options.num_beams]
        if not beams or (len(ended) == options.num_beams and ended[-1][0] >= beams[0][0] / norm):
            weight = loaded.complete(options).rerank or 0.0
            return max(ended, key=lambda end: end[0] + weight * _match(loaded, image, end[1]))[1:]


def _match(loaded: LoadedModel, image: Tensor, ids: list[int]) -> float:
    """Cosine of the image and a caption, each embedded by itself."""
    text = loaded.tokenizer([loaded.tokenizer.decode(ids)], loaded.config.text.context_length)
    return float(loaded.model.encode_image(image[None])[0] @ loaded.model.encode_text(text)[0])


def _next_logprobs(
    loaded: LoadedModel, image: Tensor, ids: list[int], options: CaptionOptions
) -> tuple[list[float], list[float]]:
    """What may follow `ids`, and what the model thinks itself, one log-probability per id of the vocabulary."""
    own = loaded.model(image[None], torch.tensor([ids])).caption_logits[0, -1]
    penalised = own.clone()
    for i in set(ids):
        penalised[i] = own[i] * options.repetition_penalty if own[i] < 0 else own[i] / options.repetition_penalty
    allowed, tokenizer = penalised.log_softmax(-1).tolist(), loaded.tokenizer
    allowed[tokenizer.sot_id] = allowed[tokenizer.pad_id] = -math.inf
    if len(ids) + 1 == min(options.max_length, loaded.config.text.context_length):
        allowed = [p if i == tokenizer.eot_id else -math.inf for i, p in enumerate(allowed)]
    elif len(ids) + 1 < options.min_length:
        allowed[tokenizer.eot_id] = -math.inf
    return allowed, own.log_softmax(-1).tolist()


def _likeliest(allowed: list[float]) -> int:
    return max(range(len(allowed)), key=allowed.__getitem__)


def _drawn(image: Tensor, options: CaptionOptions) -> Callable[[list[float]], int]:
    seeds = image_seeds(image[None], options)
    assert seeds
    numbers: Iterator[float] = iter(torch.rand(16, generator=torch.Generator().manual_seed(seeds[0])).tolist())

    def draw(allowed: list[float]) -> int:
        weights = [math.exp(p / options.temperature) for p in allowed]
        likeliest = sorted(range(len(weights)), key=weights.__getitem__, reverse=True)[: options.top_k or None]
        total, kept, reached = sum(weights[i] for i in likeliest), [], 0.0
        for i in likeliest:
            if reached < options.top_p * total and weights[i] > 0:
                kept.append(i)
                reached += weights[i]
        level = next(numbers) * reached
        for i in sorted(kept):
            level -= weights[i]
            if level < 0:
                return i
        raise AssertionError("nothing drawn")

    return draw
