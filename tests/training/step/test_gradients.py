"""The gradients of a step are those of the plain losses, however it is divided, and OpenCLIP's for its settings."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from openclip_gradients import EVERY, assert_openclips, gradients_in_openclips_layout, in_openclips_layout
from openclip_step import OPENCLIPS, openclips_step
from safetensors.torch import load_file
from torch import Tensor

from cocasearch.images.transforms import Preprocess
from cocasearch.model.losses import caption_loss, grouped_contrastive_loss
from cocasearch.training.config import TrainingConfig
from cocasearch.training.data.dataset import LabelledImages, Source, TrainingBatch, TrainingData
from cocasearch.training.losses.name_teacher import NameTeacher
from cocasearch.training.losses.objective import Objective
from cocasearch.training.losses.step_losses import StepLosses
from cocasearch.training.model.preparation import set_dropout
from cocasearch.training.model.starting_point import StartingPoint
from cocasearch.training.step.gradients import Gradients
from cocasearch.training.step.micro_batches import divide
from cocasearch.training.step.optimizer import build_optimizers

GOLDEN = Path(__file__).parents[2] / "golden" / "openclip"
PLAIN = TrainingConfig().changed(
    batch_size=7, captions_per_image=3, dropout=0, precision="float32", names_per_step=12, caption_weight=2.0
)
EXACT = 1e-5  # of a gradient's own length


@pytest.fixture
def start(new_start) -> StartingPoint:
    return new_start(convolutional=False)


def batch_of(start: StartingPoint, images, *, labels: tuple[int, ...] = ()) -> TrainingBatch:
    names = [(str(number),) for number in range(18)]
    labelled = LabelledImages([images[label].image for label in labels], list(labels), names) if labels else None
    data = TrainingData([Source(images, 1.0)], start.tokenizer, Preprocess(start.preprocess), 24, labelled)
    return next(data.batches(PLAIN.changed(labelled_per_step=len(labels)), first_step=0, steps=1))


def gradients_of(
    start: StartingPoint,
    batch: TrainingBatch,
    teacher: NameTeacher | None = None,
    *,
    frozen: bool = False,
    **changes: object,
) -> tuple[StepLosses, dict[str, Tensor]]:
    config = PLAIN.changed(**changes)
    start.model.train().zero_grad()
    set_dropout(start.model, config.model.dropout)
    step = Gradients(Objective(start.model, start.tokenizer, config, teacher), config)
    losses = step.compute(batch, encoder_is_frozen=frozen, rng=random.Random(1), seed=5)
    set_dropout(start.model, 0.0)
    return losses, {name: p.grad.clone() for name, p in start.model.named_parameters() if p.grad is not None}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float = EXACT) -> None:
    assert found.keys() == expected.keys()
    length = torch.cat([value.flatten() for value in expected.values()]).norm()
    for name, value in expected.items():
        error = (found[name] - value).norm()
        assert error <= tolerance * value.norm() + 1e-3 * tolerance * length, name


@pytest.fixture
def batch(start, drawings) -> TrainingBatch:
    """Seven pictures with three captions each, but the second with one and the last with two."""
    whole = batch_of(start, drawings)
    kept = torch.tensor([number not in (3, 5, 19) for number in range(21)])
    return replace(whole, ids=whole.ids[kept], owners=whole.owners[kept])


def test_they_are_those_of_the_plain_losses(start, batch) -> None:
    losses, found = gradients_of(start, batch)
    start.model.zero_grad()
    image = start.model.image_features(batch.pixels)
    text, states = start.model.text_features(batch.ids)
    logits = start.model.multimodal_decoder.vocabulary(
        start.model.multimodal_decoder(states, image.tokens[batch.owners])
    )
    contrastive = grouped_contrastive_loss(image.embedding, text, batch.owners, start.model.logit_scale.exp())
    caption = caption_loss(logits, batch.ids)
    (contrastive + 2 * caption).backward()
    assert_same(found, {name: p.grad for name, p in start.model.named_parameters()})
    torch.testing.assert_close(losses.values["contrastive"], contrastive.detach())
    torch.testing.assert_close(losses.values["caption"], caption.detach())
    torch.testing.assert_close(losses.total, (contrastive + 2 * caption).detach())


@pytest.mark.parametrize("divided", [{"micro_batch": 3}, {"micro_batch": 1}, {"accumulation": 2}, {"accumulation": 9}])
@pytest.mark.parametrize("objective", ["coca", "contrastive", "caption"])
def test_micro_batches_give_the_gradients_of_the_whole(start, batch, objective: str, divided: dict[str, int]) -> None:
    whole_losses, whole = gradients_of(start, batch, objective=objective)
    losses, found = gradients_of(start, batch, objective=objective, **divided)
    assert_same(found, whole)
    torch.testing.assert_close(losses.total, whole_losses.total)
    torch.testing.assert_close(losses.values, whole_losses.values)


@pytest.mark.parametrize("divided", [{"micro_batch": 3}, {"micro_batch": 1}, {"accumulation": 2}])
def test_micro_batches_know_what_all_texts_mean(start, batch, divided: dict[str, int]) -> None:
    taught = replace(batch, sentences=F.normalize(torch.randn(len(batch.ids), 6), dim=1))
    settings = {"sentence_weight": 0.5, "sentence_temperature": 0.3}
    whole_losses, whole = gradients_of(start, taught, **settings)
    losses, found = gradients_of(start, taught, **settings, **divided)
    assert_same(found, whole)
    torch.testing.assert_close(losses.values["contrastive"], whole_losses.values["contrastive"])
    assert not torch.isclose(losses.values["contrastive"], gradients_of(start, batch)[0].values["contrastive"])


def test_what_texts_mean_changes_nothing_without_a_weight(start, batch) -> None:
    taught = replace(batch, sentences=F.normalize(torch.randn(len(batch.ids), 6), dim=1))
    (losses, found), (expected_losses, expected) = gradients_of(start, taught), gradients_of(start, batch)
    assert torch.equal(losses.total, expected_losses.total)
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_the_whole_batch_lends_the_negatives(start, batch) -> None:
    """The mean of the micro-batches' own gradients is something else."""
    _, whole = gradients_of(start, batch, objective="contrastive")
    parts = [gradients_of(start, part, objective="contrastive")[1] for part in divide(batch, 3)]
    mean = {name: sum(part[name] for part in parts) / 3 for name in whole}
    name = "image_projection.weight"
    assert (mean[name] - whole[name]).norm() > 0.1 * whole[name].norm()


@pytest.mark.parametrize("frozen", [False, True])
def test_names_and_labels_are_divided_too(new_start, class_names, drawings, frozen: bool) -> None:
    start = new_start()
    teacher = NameTeacher(start.model, start.classifier, class_names)
    batch = batch_of(start, drawings, labels=(1, 4, 7, 9))
    settings = {"frozen": frozen, "label_caption_weight": 0.5}
    whole_losses, whole = gradients_of(start, batch, teacher, **settings)
    losses, found = gradients_of(start, batch, teacher, micro_batch=2, **settings)
    assert whole_losses.values["name"] > 0
    assert_same(found, whole)
    torch.testing.assert_close(losses.values["name"], whole_losses.values["name"])
    torch.testing.assert_close(losses.total, whole_losses.total)


def test_dropout_draws_the_same_numbers_in_both_passes(start, batch) -> None:
    """Two passes of the same weights: were their numbers not the same, a sum over the parts would differ from one of
    the parts alone, whose embeddings have their graph from the first pass on."""
    config = PLAIN.changed(dropout=0.3, objective="contrastive")
    _, found = gradients_of(start, batch, dropout=0.3, micro_batch=3)
    start.model.zero_grad()
    set_dropout(start.model, 0.3)
    objective = Objective(start.model, start.tokenizer, config.changed(objective="coca"))
    outputs = []
    for number, part in enumerate(divide(batch, 3)):
        torch.manual_seed(5 + number)
        outputs.append(objective(part))
    image, text = (torch.cat([getattr(output.embeddings, side) for output in outputs]) for side in ("image", "text"))
    contrastive = grouped_contrastive_loss(image, text, batch.owners, start.model.logit_scale.exp())
    targets = int((batch.ids[:, 1:] != start.tokenizer.pad_id).sum())
    (contrastive + 2 * sum(output.sums["caption"] for output in outputs) / targets).backward()
    assert_same(found, {name: p.grad for name, p in start.model.named_parameters()})
    set_dropout(start.model, 0.0)


def test_what_is_not_trained_costs_nothing(start, batch) -> None:
    _, caption = gradients_of(start, batch, objective="caption")
    _, contrastive = gradients_of(start, batch, objective="contrastive")
    everything = {name for name, _ in start.model.named_parameters()}
    assert not any(name.startswith("multimodal_decoder") for name in contrastive)
    assert everything - set(caption) >= {"logit_scale", "image_projection.weight", "text_decoder.projection.weight"}
    assert set(caption) | set(contrastive) == everything


def test_without_a_share_captions_cost_nothing_and_teach_nothing(start, batch) -> None:
    def step(share: float, **changes: object) -> tuple[StepLosses, dict[str, Tensor]]:
        config = PLAIN.changed(**changes)
        start.model.zero_grad()
        computed = Gradients(Objective(start.model, start.tokenizer, config), config).compute(
            batch, encoder_is_frozen=False, rng=random.Random(1), ramp=share
        )
        return computed, {name: p.grad.clone() for name, p in start.model.named_parameters() if p.grad is not None}

    contrastive = step(0.0)
    assert contrastive[0].values["caption"] == 0
    assert_same(contrastive[1], step(1.0, objective="contrastive")[1])
    assert_same(step(0.5)[1], step(1.0, caption_weight=1.0)[1])
    assert_same(step(0.5, micro_batch=2)[1], step(1.0, caption_weight=1.0)[1])
    torch.testing.assert_close(step(0.5)[0].values["caption"], step(1.0)[0].values["caption"])


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return load_file(GOLDEN / "tiny_main_training.safetensors")


def test_gradients_are_openclips(golden: dict[str, Tensor]) -> None:
    model, losses = openclips_step()
    ours = torch.stack([losses.values["contrastive"], 2 * losses.values["caption"]])[None]
    torch.testing.assert_close(ours, golden["one.losses"], atol=0, rtol=EXACT)
    assert_openclips(gradients_in_openclips_layout(model), golden, "one")


def test_accumulated_gradients_are_openclips(golden: dict[str, Tensor]) -> None:
    """But the logit scale's, which it counts once for every micro-batch."""
    model, _ = openclips_step(accumulation=2)
    gradients = gradients_in_openclips_layout(model)
    gradients["logit_scale"] *= 2
    assert_openclips(gradients, golden, "accumulated")


def test_parameters_after_a_step_are_openclips(golden: dict[str, Tensor]) -> None:
    """At the full rate of 1e-3, without warm-up."""
    model, _ = openclips_step()
    for optimizer in build_optimizers(model, OPENCLIPS):
        optimizer.step()
    for key, value in in_openclips_layout(dict(model.named_parameters())).items():
        expected = golden[f"one.parameter.{key}"]
        found = value.flatten()[::EVERY]
        if key.endswith("in_proj_bias"):
            # The gradient of a key's bias is zero but for rounding, of which AdamW's first step makes a whole step.
            third = torch.arange(len(value))[::EVERY] // (len(value) // 3)
            found, expected = found[third != 1], expected[third != 1]
        assert float((found - expected).norm()) <= EXACT * float(expected.norm()), key
