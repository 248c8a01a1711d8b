"""Captions that a model draws are judged by people's, and better ones become likelier by the gradient of the reward."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cocasearch.captioned_data import CaptionedImage
from cocasearch.errors import CocaSearchError
from cocasearch.text.tokenizer import Tokenizer
from cocasearch.training.config import TrainingConfig
from cocasearch.training.data.dataset import TrainingBatch
from cocasearch.training.losses.objective import Objective
from cocasearch.training.losses.self_critical import SelfCritic
from cocasearch.training.step.gradients import Gradients
from cocasearch.training.validation import score

CONFIG = TrainingConfig().changed(
    self_critical_weight=2.0, self_critical_samples=3, caption_weight=0.0, dropout=0.0, precision="float32"
)
REFERENCES = [
    ("a dog on a sofa.", "the dog sleeps."),
    ("a red bus in the rain.",),
    ("a cat looks at a bird.",),
    ("two people at a table.",),
]


def test_a_caption_is_worth_what_people_wrote(tokenizer: Tokenizer) -> None:
    critic = SelfCritic(REFERENCES, tokenizer, CONFIG)
    own, broken, other = (
        critic.reward(text, 1) for text in ("A red bus in the rain", "a red bus in the", "a dog on a sofa")
    )
    assert own == pytest.approx(10.0)
    assert own > broken > other >= 0


def test_an_object_that_nobody_named_costs_its_price(tokenizer: Tokenizer) -> None:
    free, dear = (SelfCritic(REFERENCES, tokenizer, CONFIG.changed(invention_price=price)) for price in (0.0, 1.5))
    for text, invented in (("a dog on a couch", 0), ("a puppy", 0), ("a dog and a cat", 1), ("a cat and a bus", 2)):
        assert free.reward(text, 0) - dear.reward(text, 0) == pytest.approx(1.5 * invented)


@pytest.fixture
def objective(new_start, more_drawings: Callable[..., list[CaptionedImage]]) -> Objective:
    start = new_start()
    objective = Objective(start.model, start.tokenizer, CONFIG)
    objective.critic = SelfCritic([image.captions for image in more_drawings(6)], start.tokenizer, CONFIG)
    return objective


def batch_of(objective: Objective, pictures: Sequence[int]) -> TrainingBatch:
    pixels = torch.rand(len(pictures), 3, 32, 32, generator=torch.Generator().manual_seed(1))
    ids = objective.tokenizer(["a red square."] * len(pictures), 24)
    empty = torch.empty(0, dtype=torch.long)
    return TrainingBatch(
        pixels, ids, torch.arange(len(pictures)), pixels[:0], empty, ids[:0], pictures=torch.tensor(pictures)
    )


def test_the_gradient_is_that_of_the_expected_reward(objective: Objective) -> None:
    """Against the plain way: the model's own log-probabilities of the same captions, times their advantages."""
    model, batch = objective.model, batch_of(objective, [4, 0, 2])
    gradients = Gradients(objective, CONFIG)
    losses = gradients.compute(batch, encoder_is_frozen=False, rng=random.Random(0), seed=7)
    found = {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}
    model.zero_grad()
    torch.manual_seed(7)
    assert objective.critic is not None
    context = model.image_features(batch.pixels).tokens
    drawn = objective.critic.draw(model, context.detach(), batch.pictures)
    assert drawn.owners.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    torch.testing.assert_close(drawn.advantages.view(3, 3).sum(1), torch.zeros(3), atol=1e-5, rtol=0)
    assert drawn.advantages.abs().max() > 0, "nothing to learn"
    assert float(losses.reward) == pytest.approx(float(drawn.rewards.mean()))
    _, states = model.text_features(drawn.ids)
    logits = model.multimodal_decoder.vocabulary(model.multimodal_decoder(states, context[drawn.owners]))
    of_token = logits[:, :-1].log_softmax(-1).gather(2, drawn.ids[:, 1:, None])[:, :, 0]
    of_caption = (of_token * (drawn.ids[:, 1:] != objective.tokenizer.pad_id)).sum(1)
    (-CONFIG.losses.self_critical_weight * (drawn.advantages * of_caption).mean()).backward()  # type: ignore[no-untyped-call]
    for name, parameter in model.multimodal_decoder.named_parameters():
        torch.testing.assert_close(found[f"multimodal_decoder.{name}"], parameter.grad, atol=1e-5, rtol=1e-3)
    assert any(name.startswith("image_encoder") for name in found), "the reward does not reach the image encoder"


def test_what_autocast_keeps_from_drawing_does_not_cut_gradients(objective: Objective) -> None:
    objective.autocast = torch.bfloat16
    Gradients(objective, CONFIG).compute(
        batch_of(objective, [1, 3]), encoder_is_frozen=False, rng=random.Random(0), seed=1
    )
    without = [name for name, weight in objective.model.multimodal_decoder.named_parameters() if weight.grad is None]
    assert not without


def test_a_run_learns_to_earn_more(runs, tmp_path: Path) -> None:
    """Of drawn shapes: from a model that knows the words, captions without people's words as targets."""
    rewards: list[float] = []
    settings = {"batch_size": 12, "captions_per_image": 3, "precision": "float32", "optimizer": "adamw"}
    first = runs.plain(tmp_path / "words", **settings, epochs=30, learning_rate=5e-3, caption_weight=1.0)
    first.run()
    start = replace(first.start, model=first.model)
    config = first.config.changed(
        epochs=30, learning_rate=1e-3, caption_weight=0.0, self_critical_weight=1.0, warmup=0.0
    )
    own = {"config": config, "start": start, "held_out": 0, "names": False}
    runs.trainer(tmp_path / "own", **own, progress=lambda progress: rewards.append(progress.reward)).run()
    assert rewards[-1] > 1.3 * rewards[9] > 0


def test_a_run_that_learns_captions_alone_is_judged_by_those_that_it_writes(runs, tmp_path: Path) -> None:
    config = CONFIG.changed(objective="caption", epochs=1, batch_size=12, validations=1, invention_price=0.5)
    result = runs.trainer(tmp_path / "model", config=config, names=False).run()
    report = result.validation
    assert report.captions is not None
    assert report.caption_loss is None
    nothing_invented = replace(report.hallucination.every, per_object_word=0.0, n_object_words=3)
    half_invented = replace(nothing_invented, per_object_word=0.5, n_object_words=20)
    worth = [
        score(replace(report, hallucination=replace(report.hallucination, every=found)), config)
        for found in (nothing_invented, half_invented)
    ]
    assert worth[0] == report.captions.cider_d
    assert worth[0] - worth[1] == pytest.approx(0.5 * 10 / 5)  # ten words of five pictures


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "contrastive"}, "objective=contrastive does not learn"),
        ({"sharding": "full"}, "sharding=none is needed"),
        ({"self_critical_samples": 1}, "self_critical_samples must be 2 or above"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(CocaSearchError, match=message):
        CONFIG.changed(**changes)  # type: ignore[arg-type]
