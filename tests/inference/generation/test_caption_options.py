import json
from dataclasses import asdict, replace

import pytest

from cocasearch.errors import CocaSearchError
from cocasearch.inference.generation.caption_options import CaptionOptions


def test_each_mode_has_its_own_defaults() -> None:
    ours, compat = CaptionOptions(), CaptionOptions(compat="openclip")
    assert (ours.num_beams, ours.num_beam_groups, ours.rerank, ours.top_p) == (5, 1, None, 1.0)
    assert (compat.num_beams, compat.num_beam_groups, compat.rerank, compat.top_p) == (6, 3, 0.0, 0.1)
    assert (compat.min_length, compat.max_length, compat.temperature) == (5, 30, 1.0)
    assert compat.group_size == 2


def test_what_is_given_stays() -> None:
    given = {"num_beams": 5, "num_beam_groups": 1, "rerank": 0.0, "top_p": 1.0}
    assert given.items() <= asdict(CaptionOptions(compat="openclip", **given)).items()  # type: ignore[arg-type]
    top_k = CaptionOptions("sample", top_k=20, compat="openclip")
    assert top_k.top_p == 1.0  # the one filter asked for is the one
    assert replace(top_k, seed=1).top_k == 20


def test_records_of_our_own_captions_do_not_speak_of_compat() -> None:
    assert json.loads(json.dumps(CaptionOptions(compat="openclip").to_dict()))["num_beam_groups"] == 3
    assert not {"compat", "num_beam_groups"} & CaptionOptions().to_dict().keys()
    assert CaptionOptions(**CaptionOptions(num_beams=7).to_dict()) == CaptionOptions(num_beams=7)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (CaptionOptions(), "beam, num_beams 5, rerank None"),
        (CaptionOptions(num_beams=3, rerank=0.0, prompt="a"), "beam, num_beams 3, rerank 0.0, prompt a"),
        (CaptionOptions("greedy", num_beams=3), "greedy"),
        (CaptionOptions("sample", top_p=0.9, seed=1), "sample, top_p 0.9, seed 1"),
        (CaptionOptions(compat="openclip"), "beam as openclip's, num_beams 6"),
    ],
)
def test_options_are_told_by_what_matters(options: CaptionOptions, words: str) -> None:
    assert str(options) == words


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"compat": "blip"}, "unknown compat 'blip'; known are openclip"),
        ({"compat": "openclip", "rerank": 1.0}, "does not rerank"),
        ({"compat": "openclip", "length_penalty": 0.5}, "no length penalty"),
        ({"compat": "openclip", "top_k": 5, "top_p": 0.5}, "by top_k or by top_p"),
        ({"compat": "openclip", "num_beams": 4}, "num_beam_groups is 3, but must be a divisor of num_beams, 4"),
        ({"compat": "openclip", "num_beams": 1, "num_beam_groups": 1}, "num_beams is 1, but must be at least 2"),
        ({"compat": "openclip", "num_beam_groups": 0}, "num_beam_groups is 0"),
        ({"compat": "openclip", "min_length": 30}, "min_length is 30, but must be less than max_length, 30"),
        ({"num_beam_groups": 3}, "num_beam_groups is 3, but must be left out"),
    ],
)
def test_what_does_not_go_together_is_named(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(CocaSearchError, match=sentence):
        CaptionOptions(**options)  # type: ignore[arg-type]


def test_how_much_a_match_counts_is_left_to_the_model_unless_it_is_said() -> None:
    assert CaptionOptions().rerank is None
    assert CaptionOptions().for_model(can_rerank=True) == CaptionOptions(rerank=4.0)
    assert CaptionOptions(prompt="a dog").for_model(can_rerank=False) == CaptionOptions(prompt="a dog", rerank=0.0)
    assert CaptionOptions(rerank=2.0).for_model(can_rerank=False).rerank == 2.0
    assert CaptionOptions(compat="openclip").for_model(can_rerank=True).rerank == 0.0
