"""The fast way to each loss gives what the plain way gives, and each loss teaches what it is there for."""

import random
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from cocasearch.checkpoints.foreign.efficientnet_weights import Classifier
from cocasearch.images.transforms import Preprocess
from cocasearch.model.losses import caption_loss, contrastive_loss
from cocasearch.training.config import TrainingConfig
from cocasearch.training.data.class_names import ClassNames
from cocasearch.training.data.dataset import LabelledImages, Source, TrainingBatch, TrainingData
from cocasearch.training.losses.name_teacher import NameTeacher
from cocasearch.training.losses.objective import Objective
from cocasearch.training.losses.step_losses import StepLosses
from cocasearch.training.model.preparation import set_dropout
from cocasearch.training.model.starting_point import StartingPoint
from cocasearch.training.step.gradients import Gradients

COLORS = ("red", "green", "blue", "yellow", "black", "purple")
SHAPES = ("square", "circle", "triangle")
PLAIN = TrainingConfig().changed(batch_size=6, captions_per_image=1, dropout=0, precision="float32", names_per_step=12)


@pytest.fixture
def start(new_start) -> StartingPoint:
    return new_start()


def batch_of(start: StartingPoint, config: TrainingConfig, images, labels: tuple[int, ...] = ()) -> TrainingBatch:
    names = [(f"{color} {shape}",) for shape in SHAPES for color in COLORS]
    labelled = LabelledImages([images[label].image for label in labels], list(labels), names) if labels else None
    data = TrainingData([Source(images, 1.0)], start.tokenizer, Preprocess(start.preprocess), 24, labelled)
    return next(data.batches(config.changed(labelled_per_step=len(labels)), first_step=0, steps=1))


def losses(objective: Objective, batch: TrainingBatch, *, frozen: bool = False, seed: int = 0) -> StepLosses:
    """The losses of a batch; its gradients are in the parameters then."""
    objective.model.zero_grad()
    step = Gradients(objective, objective.config)
    return step.compute(batch, encoder_is_frozen=frozen, rng=random.Random(seed))


def padded(ids: Tensor, length: int = 24) -> Tensor:
    return torch.nn.functional.pad(ids, (0, length - ids.shape[1]))


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_one_caption_each_gives_the_plain_losses(start, drawings, label_smoothing: float) -> None:
    batch = batch_of(start, PLAIN, drawings)
    config = PLAIN.changed(label_smoothing=label_smoothing, contrastive_weight=0.5, caption_weight=2.0)
    found = losses(Objective(start.model, start.tokenizer, config), batch)
    output = start.model(batch.pixels, padded(batch.ids))
    contrastive = contrastive_loss(output.image_embedding, output.text_embedding, output.logit_scale)
    caption = caption_loss(output.caption_logits, padded(batch.ids), label_smoothing=label_smoothing)
    torch.testing.assert_close(found.values["contrastive"], contrastive.detach())
    torch.testing.assert_close(found.values["caption"], caption.detach())
    torch.testing.assert_close(found.total, (0.5 * contrastive + 2 * caption).detach())
    assert found.values["name"] == 0


def test_several_captions_count_as_pictures_shown_several_times(start, drawings) -> None:
    batch = batch_of(start, PLAIN.changed(captions_per_image=3), drawings)
    assert batch.owners.tolist() == [owner for owner in range(6) for _ in range(3)]
    found = losses(Objective(start.model, start.tokenizer, PLAIN), batch)
    output = start.model(batch.pixels[batch.owners], padded(batch.ids))
    torch.testing.assert_close(found.values["caption"], caption_loss(output.caption_logits, padded(batch.ids)).detach())

    similarity = output.logit_scale * output.image_embedding[::3] @ output.text_embedding.T  # (6, 18)
    text_to_image = -similarity.log_softmax(dim=0)[batch.owners, torch.arange(18)].mean()
    image_to_text = -torch.stack([similarity[i].log_softmax(dim=0)[3 * i : 3 * i + 3].mean() for i in range(6)]).mean()
    torch.testing.assert_close(found.values["contrastive"], ((text_to_image + image_to_text) / 2).detach())


def test_bfloat16_gives_nearly_the_losses_and_gradients_of_float32(start, drawings) -> None:
    batch = batch_of(start, PLAIN, drawings)
    gradients, found = [], []
    for precision in ("float32", "bfloat16"):
        step = losses(Objective(start.model, start.tokenizer, PLAIN.changed(precision=precision)), batch)
        found.append(step)
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in start.model.parameters()]))
    assert found[0].total != found[1].total  # it did run in bfloat16
    assert found[1].values["contrastive"] == pytest.approx(found[0].values["contrastive"].item(), abs=0.05)
    assert found[1].values["caption"] == pytest.approx(found[0].values["caption"].item(), abs=0.05)
    assert torch.cosine_similarity(*gradients, dim=0) > 0.99
    assert {parameter.grad.dtype for parameter in start.model.parameters()} == {torch.float32}


@pytest.fixture
def teacher(start: StartingPoint, class_names: ClassNames) -> NameTeacher:
    assert start.classifier is not None
    return NameTeacher(start.model, start.classifier, class_names)


def test_a_frozen_encoder_lends_the_teacher_its_tokens(start, teacher, drawings) -> None:
    batch = batch_of(start, PLAIN, drawings, labels=(1, 4, 7))
    objective = Objective(start.model, start.tokenizer, PLAIN, teacher)
    frozen = losses(objective, batch, frozen=True)
    assert all(parameter.grad is None for parameter in start.model.image_encoder.parameters())
    moving = losses(objective, batch, frozen=False)
    assert all(parameter.grad is not None for parameter in start.model.parameters())
    torch.testing.assert_close(frozen.total, moving.total)
    torch.testing.assert_close(frozen.values, moving.values)


def test_captions_made_of_labels_count_as_much_as_asked(start, teacher, drawings) -> None:
    batch = batch_of(start, PLAIN, drawings, labels=(1, 4, 7))
    without, with_them = (
        losses(Objective(start.model, start.tokenizer, PLAIN.changed(label_caption_weight=weight), teacher), batch)
        for weight in (0.0, 0.5)
    )
    output = start.model(batch.labelled_pixels, padded(batch.labelled_ids))
    expected = caption_loss(output.caption_logits, padded(batch.labelled_ids))
    torch.testing.assert_close(with_them.total - without.total, 0.5 * expected.detach())


def test_name_loss_counts_as_much_as_asked(start, teacher, drawings) -> None:
    batch = batch_of(start, PLAIN, drawings, labels=(1, 4, 7))
    objective = Objective(start.model, start.tokenizer, PLAIN.changed(name_weight=0.3), teacher)
    found = losses(objective, batch)
    gradient = start.model.image_projection.weight.grad.clone()
    names = objective.names([batch], [None], random.Random(0))
    start.model.zero_grad()
    vectors = torch.cat([start.model.encode_image(x) for x in (batch.pixels, batch.labelled_pixels)])
    texts = start.model.encode_text(padded(names.ids))
    scores = start.model.logit_scale.exp() * vectors @ texts.T  # (9, names)
    wanted = names.target
    name = (torch.special.xlogy(wanted, wanted) - wanted * scores.log_softmax(dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(found.values["name"], name.detach())
    expected = found.values["contrastive"] + found.values["caption"] + 0.3 * name
    torch.testing.assert_close(found.total, expected.detach())
    others = losses(Objective(start.model, start.tokenizer, PLAIN.changed(name_weight=0.0), teacher), batch)
    assert others.values["name"] == found.values["name"]
    without = start.model.image_projection.weight.grad.clone()
    of_name = torch.autograd.grad(0.3 * name, start.model.image_projection.weight)[0]
    torch.testing.assert_close(gradient - without, of_name, atol=1e-6, rtol=1e-4)


def test_labels_teach_names_that_the_classifier_does_not_know(start, class_names, drawings) -> None:
    labels = torch.tensor([0, 7, 14])  # red square, green circle, blue triangle
    plain_colors = (4 * torch.eye(3) - 2)[:, :, None, None].expand(3, 3, 32, 32)
    ignorant = NameTeacher(start.model, Classifier(torch.zeros(18, 48), torch.zeros(18)), class_names)
    config = PLAIN.changed(batch_size=1, names_per_step=18, contrastive_weight=0, caption_weight=0)
    batch = replace(batch_of(start, config, drawings), labelled_pixels=plain_colors, labels=labels)
    objective = Objective(start.model, start.tokenizer, config, ignorant)
    optimizer = torch.optim.AdamW(start.model.parameters(), lr=3e-3)
    before = [losses(objective, batch, seed=seed).values["name"].item() for seed in range(6)]
    for step in range(60):
        losses(objective, batch, seed=step)
        optimizer.step()
    after = [losses(objective, batch, seed=seed).values["name"].item() for seed in range(6)]
    assert all(end < 0.5 * start for start, end in zip(before, after, strict=True))
    with torch.no_grad():
        ids = start.tokenizer([f"a {words[0]}" for words in class_names.names], 24)
        scores = start.model.encode_image(plain_colors) @ start.model.encode_text(ids).T
    assert scores.argmax(dim=1).tolist() == labels.tolist()


def test_dropout_is_of_training_alone(start, drawings) -> None:
    batch = batch_of(start, PLAIN, drawings)
    objective = Objective(start.model, start.tokenizer, PLAIN)
    plain = losses(objective, batch).values["caption"]
    set_dropout(start.model, 0.3)
    assert losses(objective, batch).values["caption"] != plain
    start.model.eval()
    assert losses(objective, batch).values["caption"] == plain
