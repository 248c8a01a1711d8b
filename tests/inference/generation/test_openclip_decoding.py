"""Captions that are OpenCLIP's to the last id, and the plain reading of its search as the oracle of ours."""

import math
from collections.abc import Callable, Sequence

import pytest
import tokenizers
import torch
from seeded_openclip import TINY, compare_captions, seeded_weights
from tokenizers import models, pre_tokenizers
from torch import Tensor

from cocasearch.checkpoints.foreign.openclip_weights import from_openclip
from cocasearch.inference.generation.caption_options import CaptionOptions
from cocasearch.inference.generation.captioner import Captioner
from cocasearch.inference.generation.decoding_strategies import Decoded, PickLikeliest, Search, SingleSearch
from cocasearch.inference.generation.openclip_decoding import (
    OpenClipBeamRules,
    OpenClipBeamSearch,
    OpenClipRules,
    OpenClipSampling,
)
from cocasearch.inference.loaded_model import LoadedModel
from cocasearch.model.coca import CoCa
from cocasearch.text.tokenizer import EOT, SOT, Tokenizer


@pytest.fixture(scope="module")
def numbers_tokenizer() -> Tokenizer:
    """Each word is a number, its own id; the last two are the start and the end."""
    vocabulary = {str(number): number for number in range(998)} | {SOT: 998, EOT: 999}
    backend = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token="0"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return Tokenizer(backend)


@pytest.mark.parametrize("name", TINY)
def test_a_tiny_model_writes_openclips_captions(name: str, numbers_tokenizer: Tokenizer) -> None:
    config, seed, gain = TINY[name]
    model = CoCa(config).eval().requires_grad_(False)
    model.load_state_dict(from_openclip(seeded_weights(config, seed, gain, 999), config))
    pixels = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(100 + seed))
    compare_captions(name, model, numbers_tokenizer, pixels)


SOT_ID, EOT_ID, PAD_ID, SIZE, IMAGES = 38, 39, 0, 40, 6
Language = Callable[[int, list[int]], Tensor]


def language_of(seed: int, end: float) -> Language:
    """Logits (SIZE,) of what follows some ids in some image: they depend on the last two and on the place."""
    generator = torch.Generator().manual_seed(seed)
    last, before, place = (3 * torch.randn(IMAGES, SIZE, SIZE, generator=generator) for _ in range(3))

    def logits(image: int, ids: list[int]) -> Tensor:
        follows = last[image, ids[-1]] + 0.5 * before[image, ids[-2:][0]] + 0.2 * place[image, len(ids)]
        follows[EOT_ID] += end
        return follows

    return logits


def run(search: Search, language: Language, images: Sequence[int] = range(IMAGES)) -> list[list[Decoded]]:
    """Drive a search with logits, one row per sequence that it keeps open."""
    rows = [(image, [SOT_ID]) for image in images]
    while (step := search.advance(torch.stack([language(image, ids) for image, ids in rows]))) is not None:
        kept = rows if step.rows is None else [rows[row] for row in step.rows.tolist()]
        rows = [(image, [*ids, new]) for (image, ids), new in zip(kept, step.ids.tolist(), strict=True)]
    return search.results()


def beams(language: Language, rules: OpenClipBeamRules, group_size: int, images: Sequence[int]) -> list[list[Decoded]]:
    prompt = torch.full((len(images), 1), SOT_ID)
    return run(OpenClipBeamSearch(prompt, rules, group_size), language, images)


@pytest.mark.parametrize("end", [-3.0, 3.0, 6.0])  # captions are cut, end late, end early
@pytest.mark.parametrize(("num_beams", "groups"), [(6, 3), (2, 1), (5, 1), (6, 2), (4, 4)])
@pytest.mark.parametrize(("min_length", "penalty"), [(1, 1.0), (5, 1.4)])
def test_one_group_finds_what_all_identical_groups_find(
    end: float, num_beams: int, groups: int, min_length: int, penalty: float
) -> None:
    rules = OpenClipBeamRules(SOT_ID, EOT_ID, PAD_ID, min_length, 12, penalty)
    for seed in range(5):
        language = language_of(seed, end)
        found = [ended[0].ids for ended in beams(language, rules, num_beams // groups, range(IMAGES))]
        assert found == [slow_beams(language, image, rules, num_beams, groups) for image in range(IMAGES)]
        alone = [beams(language, rules, num_beams // groups, [image])[0][0].ids for image in range(IMAGES)]
        assert found == alone


def test_the_oracle_sees_every_kind_of_caption() -> None:
    rules = OpenClipBeamRules(SOT_ID, EOT_ID, PAD_ID, 1, 12)
    found = [ended[0].ids for end in (-3.0, 3.0, 6.0) for ended in beams(language_of(0, end), rules, 2, range(IMAGES))]
    assert any(ids[-1] != EOT_ID for ids in found) and any(ids[-1] == EOT_ID for ids in found)
    assert any(PAD_ID in ids for ids in found) or any(SOT_ID in ids[1:] for ids in found)
    assert len({len(ids) for ids in found}) > 3
    assert all(len(ids) == 12 for ids in found if ids[-1] != EOT_ID)


@pytest.mark.parametrize("max_length", [14, 30])
@pytest.mark.parametrize("seed", [0, 5, 11])
def test_captions_are_those_of_a_decoder_without_a_cache(
    seed: int, max_length: int, tiny_loaded: Callable[[int], LoadedModel], pixels: Tensor
) -> None:
    loaded = tiny_loaded(seed)
    model, tokenizer = loaded.model, loaded.tokenizer
    # Padding takes the place of a likely id: the decoder has to hide what follows it, as OpenCLIP's does.
    likely = {0: 106, 5: 279, 11: 282}[seed]
    model.multimodal_decoder.vocabulary.weight[tokenizer.pad_id] = model.multimodal_decoder.vocabulary.weight[likely]
    model.multimodal_decoder.vocabulary.weight[likely] = 0
    options = CaptionOptions(compat="openclip", max_length=max_length, min_length=3)
    captions = [caption.token_ids for caption in Captioner(loaded).caption_pixels(pixels, options)]
    longest = min(max_length, loaded.config.text.context_length + 1)  # the last id is never read
    assert any(tokenizer.pad_id in ids[:-2] for ids in captions)
    assert longest == max(map(len, captions))
    rules = OpenClipBeamRules(tokenizer.sot_id, tokenizer.eot_id, tokenizer.pad_id, 3, longest)

    def language(image: int, ids: list[int]) -> Tensor:
        logits: Tensor = model(pixels[image][None], torch.tensor([ids])).caption_logits[0, -1]
        return logits

    assert captions == [slow_beams(language, image, rules, 6, 3) for image in range(len(pixels))]


Scored = tuple[float, list[int]]


def slow_beams(
    language: Language, image: int, rules: OpenClipBeamRules, num_beams: int, groups: int
) -> tuple[int, ...]:
    """OpenCLIP's search as it is written: every group of equal beams from the first step on, in plain loops."""
    finished = [ended for _ in range(groups) for ended in slow_group(language, image, rules, num_beams // groups)]
    return tuple(max(finished, key=lambda ended: ended[0])[1])


def slow_group(language: Language, image: int, rules: OpenClipBeamRules, size: int) -> list[Scored]:
    beams: list[Scored] = [(0.0 if beam == 0 else -1e9, [rules.sot_id]) for beam in range(size)]
    ended: list[Scored] = []
    for length in range(2, rules.max_length + 1):
        candidates = [
            (total + logit, [*ids, i])
            for total, ids in beams
            for i, logit in enumerate(slow_logits(language, image, ids, rules))
        ]
        candidates = sorted(candidates, key=lambda c: c[0], reverse=True)[: 2 * size]
        ended += [(total / length, ids) for total, ids in candidates[:size] if ids[-1] == rules.eot_id]
        ended = sorted(ended, key=lambda e: e[0])[-size:]
        beams = [c for c in candidates if c[1][-1] != rules.eot_id][:size]
        if len(ended) == size and ended[0][0] >= candidates[0][0] / length:
            return ended
    return sorted([*ended, *((total / len(ids), ids) for total, ids in beams)], key=lambda e: e[0])[-size:]


def slow_logits(language: Language, image: int, ids: list[int], rules: OpenClipBeamRules) -> list[float]:
    logits = language(image, ids).tolist()
    if len(ids) < rules.min_length:
        logits[rules.eot_id] = -math.inf
    for i in set(ids):
        logits[i] = logits[i] * rules.repetition_penalty if logits[i] < 0 else logits[i] / rules.repetition_penalty
    return logits


def shares(logits: list[float], **options: float) -> list[float]:
    """How often each id is drawn when the noise covers [0, 1) evenly."""
    noise = ((torch.arange(1000) + 0.5) / 1000)[:, None]
    rules = OpenClipRules(3, 4, 0, min_length=1, max_length=9)
    pick = OpenClipSampling(rules, noise, **options)  # type: ignore[arg-type]
    ids, _ = pick(torch.tensor(logits).expand(1000, -1), torch.full((1000, 1), 3), torch.arange(1000), 0)
    return [round(share, 2) for share in (ids[:, 0].bincount(minlength=5) / 1000).tolist()]


FALLING = [math.log(share) for share in (0.4, 0.3, 0.2, 0.06, 0.04)]


def test_sampling_filters_before_the_temperature() -> None:
    assert shares(FALLING, top_p=1.0) == [0.4, 0.3, 0.2, 0.06, 0.04]  # padding and start are ids like others
    assert shares(FALLING, top_p=0.65) == [0.57, 0.43, 0.0, 0.0, 0.0]
    assert shares(FALLING, top_p=0.65, temperature=0.5) == [0.64, 0.36, 0.0, 0.0, 0.0]  # 16 to 9: both are kept
    assert shares(FALLING, top_p=1e-6) == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert shares(FALLING, top_k=2) == [0.57, 0.43, 0.0, 0.0, 0.0]
    assert shares([0.0, 1.0, 1.0, 1.0, 0.0], top_k=2) == [0.0, 0.33, 0.33, 0.33, 0.0]  # ties all stay


@pytest.mark.parametrize("strategy", ["greedy", "sample"])
def test_single_sequences_end_by_force_and_at_padding(strategy: str) -> None:
    rules = OpenClipRules(SOT_ID, EOT_ID, PAD_ID, min_length=4, max_length=9)
    pick = PickLikeliest(rules) if strategy == "greedy" else OpenClipSampling(rules, torch.rand(IMAGES, 9), 2.0, 20)
    found = []
    for seed in range(12):
        search = SingleSearch(torch.full((IMAGES, 1), SOT_ID), rules, pick)
        found += [ended[0].ids for ended in run(search, language_of(seed, 2.0))]
    for ids in found:
        assert ids[-1] in (EOT_ID, PAD_ID) and not {EOT_ID, PAD_ID} & set(ids[:-1])
        assert len(ids) > 4 or ids[-1] == PAD_ID  # the end alone is held back
        assert len(ids) <= 9
    assert {ids[-1] for ids in found if len(ids) < 9} == {EOT_ID, PAD_ID}
    assert {ids[-1] for ids in found if len(ids) == 9} >= {EOT_ID}
