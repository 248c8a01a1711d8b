"""A larger model's teacher_output of what a smaller one sees, and the losses that make the smaller one follow it."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cocasearch.checkpoints.model_folder import read_model_folder, save_model_folder
from cocasearch.errors import CocaSearchError
from cocasearch.images.transforms import Preprocess, PreprocessConfig
from cocasearch.model.coca import CoCa
from cocasearch.model.config import CoCaConfig, MultimodalConfig, PoolerConfig, TextConfig, VisionTransformerConfig
from cocasearch.text.tokenizer import Tokenizer, train_tokenizer
from cocasearch.training.config import TrainingConfig
from cocasearch.training.data.dataset import Source, TrainingBatch, TrainingData
from cocasearch.training.losses.distillation import DistillationTeacher, read_teacher
from cocasearch.training.losses.objective import Objective
from cocasearch.training.losses.step_losses import StepLosses
from cocasearch.training.model.starting_point import StartingPoint
from cocasearch.training.run_folder.progress import TrainingProgress
from cocasearch.training.step.gradients import Gradients

CPU = torch.device("cpu")
ALONE = TrainingConfig().changed(
    batch_size=7, captions_per_image=2, dropout=0, precision="float32", contrastive_weight=0, caption_weight=0
)


def larger_folder(
    folder: Path, tokenizer: Tokenizer, *, image_size: int = 40, context_length: int = 24, written: int | None = None
) -> Path:
    """A ViT of another size, width and normalisation than the student."""
    config = CoCaConfig(
        embed_dim=16,
        image=VisionTransformerConfig(image_size=image_size, patch_size=8, layers=1, width=32, head_width=16),
        pooler=PoolerConfig(kind="single", queries=4, heads=2),
        text=TextConfig(context_length=context_length, vocab_size=tokenizer.vocab_size, width=48, heads=2, layers=1),
        multimodal=MultimodalConfig(layers=1, heads=2, vocab_size=written),
    )
    with torch.random.fork_rng():
        torch.manual_seed(11)
        model = CoCa(config)
    preprocess = PreprocessConfig(image_size=image_size, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    save_model_folder(
        folder, model.state_dict(), config=config, preprocess=preprocess, tokenizer=tokenizer, provenance={}
    )
    return folder


@pytest.fixture
def start(new_start) -> StartingPoint:
    return new_start(convolutional=False)


@pytest.fixture
def teacher_folder(tmp_path: Path, tokenizer: Tokenizer) -> Path:
    return larger_folder(tmp_path / "larger", tokenizer)


def batch_of(start: StartingPoint, images) -> TrainingBatch:
    data = TrainingData([Source(images, 1.0)], start.tokenizer, Preprocess(start.preprocess), 24)
    return next(data.batches(ALONE, first_step=0, steps=1))


def gradients_of(
    start: StartingPoint, batch: TrainingBatch, folder: Path, **changes: object
) -> tuple[StepLosses, dict[str, Tensor]]:
    config = ALONE.changed(distill_from=str(folder), **changes)
    teacher = read_teacher(config, start, CPU)
    start.model.train().zero_grad()
    step = Gradients(Objective(start.model, start.tokenizer, config, larger=teacher), config)
    losses = step.compute(batch, encoder_is_frozen=False, rng=random.Random(1))
    return losses, {name: p.grad.clone() for name, p in start.model.named_parameters() if p.grad is not None}


def plain_losses(start: StartingPoint, batch: TrainingBatch, folder: Path) -> tuple[Tensor, Tensor]:
    """Both divergences by the formulas, the teacher's pictures prepared from the student's pixels step by step."""
    stored = read_model_folder(folder)
    larger, student = stored.load_model(), start.model
    own, theirs = start.preprocess, stored.preprocess
    colors = batch.pixels * torch.tensor(own.std).view(3, 1, 1) + torch.tensor(own.mean).view(3, 1, 1)
    resized = F.interpolate(colors, (40, 40), mode="bicubic", antialias=True)
    pixels = (resized - torch.tensor(theirs.mean).view(3, 1, 1)) / torch.tensor(theirs.std).view(3, 1, 1)

    def outputs(model: CoCa, pixels: Tensor) -> tuple[Tensor, Tensor]:
        image = model.image_features(pixels)
        text, states = model.text_features(batch.ids)
        decoded = model.multimodal_decoder(states, image.tokens[batch.owners])
        return model.logit_scale.exp() * image.embedding @ text.T, model.multimodal_decoder.vocabulary(decoded)[:, :-1]

    with torch.no_grad():
        their_similarity, their_logits = outputs(larger, pixels)
    similarity, logits = outputs(student, batch.pixels)
    ways = ((similarity, their_similarity), (similarity.T, their_similarity.T))
    both = sum(F.kl_div(o.log_softmax(1), t.softmax(1), reduction="batchmean") for o, t in ways) / 2
    real = batch.ids[:, 1:] != 0
    tokens = F.kl_div(logits[real].log_softmax(1), their_logits[real].softmax(1), reduction="batchmean")
    return torch.as_tensor(both), tokens


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("accumulation", [1, 3])
def test_its_losses_and_gradients_are_those_of_the_formulas(
    start, drawings, teacher_folder: Path, accumulation: int
) -> None:
    batch = batch_of(start, drawings)
    settings = {"distill_weight": 0.5, "distill_caption_weight": 2.0, "accumulation": accumulation}
    losses, found = gradients_of(start, batch, teacher_folder, **settings)
    similarity, tokens = plain_losses(start, batch, teacher_folder)
    expected = 0.5 * similarity + 2 * tokens
    torch.testing.assert_close(losses.total, expected.detach(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(losses.values["distillation"], similarity.detach(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(losses.values["caption_distillation"], tokens.detach(), rtol=1e-4, atol=1e-6)
    start.model.zero_grad()
    expected.backward()
    assert_same(found, {name: p.grad for name, p in start.model.named_parameters() if p.grad is not None})


def test_each_half_can_be_learned_alone(start, drawings, teacher_folder: Path) -> None:
    batch = batch_of(start, drawings)
    similarity, tokens = (loss.detach() for loss in plain_losses(start, batch, teacher_folder))
    found, gradients = gradients_of(start, batch, teacher_folder, distill_caption_weight=0.0)
    torch.testing.assert_close(found.total, similarity, rtol=1e-4, atol=1e-6)
    assert not any(name.startswith("multimodal_decoder.") for name in gradients)
    found, gradients = gradients_of(start, batch, teacher_folder, distill_weight=0.0)
    torch.testing.assert_close(found.total, tokens, rtol=1e-4, atol=1e-6)
    assert "image_projection.weight" not in gradients


def test_a_model_learns_nothing_from_itself(start, drawings, tmp_path: Path) -> None:
    save_model_folder(
        tmp_path / "itself",
        start.model.state_dict(),
        config=start.model.config,
        preprocess=start.preprocess,
        tokenizer=start.tokenizer,
        provenance={},
        dtype="float32",
    )
    losses, gradients = gradients_of(start, batch_of(start, drawings), tmp_path / "itself")
    assert losses.total.abs() < 1e-5
    assert max(float(gradient.abs().max()) for gradient in gradients.values()) < 1e-4


def test_a_student_comes_to_judge_as_its_teacher(runs, teacher_folder: Path, tmp_path: Path) -> None:
    trainer = runs.plain(
        tmp_path / "model",
        distill_from=str(teacher_folder),
        contrastive_weight=0.0,
        caption_weight=0.0,
        epochs=10.0,
        frozen_blocks=0,
        dropout=0.0,
        precision="float32",
    )
    batch = next(trainer.data.batches(trainer.config, first_step=0, steps=1))
    rng = random.Random(0)
    before = trainer.learner.gradients.compute(batch, encoder_is_frozen=True, rng=rng).total
    trainer.model.zero_grad()
    trainer.run()
    after = trainer.learner.gradients.compute(batch, encoder_is_frozen=True, rng=rng).total
    assert after < 0.5 * before


def test_what_is_learned_of_a_teacher_is_told_and_logged(runs, teacher_folder: Path, tmp_path: Path) -> None:
    told: list[TrainingProgress] = []
    config = runs.plain(tmp_path / "model", distill_from=str(teacher_folder)).config
    runs.trainer(tmp_path / "model", config=config, progress=told.append, held_out=0, names=False).run()
    lines = (tmp_path / "model.run" / "log.jsonl").read_text().splitlines()
    for name in ("distillation", "caption_distillation"):
        logged = [json.loads(line)["losses"][name] for line in lines]
        assert logged == [progress.losses[name] for progress in told]
        assert min(logged) > 0


def test_a_run_goes_on_with_its_own_teacher_alone(runs, teacher_folder: Path, tokenizer, tmp_path: Path) -> None:
    def stop(progress: TrainingProgress) -> None:
        if progress.step == 2:
            raise KeyboardInterrupt

    config = runs.plain(tmp_path / "model", distill_from=str(teacher_folder)).config
    with pytest.raises(KeyboardInterrupt):
        runs.trainer(tmp_path / "model", config=config, progress=stop, held_out=0, names=False).run()
    larger_folder(teacher_folder, tokenizer, image_size=48)  # another one under the same name
    with pytest.raises(CocaSearchError, match="holds an interrupted run with other settings or data"):
        runs.trainer(tmp_path / "model", config=config, held_out=0, names=False).run()
    larger_folder(teacher_folder, tokenizer)
    assert runs.trainer(tmp_path / "model", config=config, held_out=0, names=False).run().steps == 4


def test_another_tokenizer_teaches_similarities_alone(start, drawings, tmp_path: Path) -> None:
    words = train_tokenizer(["a red square on a wall", "there is a blue circle"], vocab_size=300)
    folder = larger_folder(tmp_path / "larger", words)
    with pytest.raises(CocaSearchError, match="larger has another tokenizer than the model that is trained") as caught:
        gradients_of(start, batch_of(start, drawings), folder)
    assert "distill_caption_weight=0" in str(caught.value.hint)
    batch = batch_of(start, drawings)
    teacher = DistillationTeacher(folder, start.tokenizer, start.preprocess, with_captions=False)
    texts = [start.tokenizer.decode(row) for row in batch.ids.tolist()]
    expected = teacher.model.encode_text(words(texts, 24))
    torch.testing.assert_close(teacher.output(batch).text, expected)
    losses, _ = gradients_of(start, batch, folder, distill_caption_weight=0.0)
    assert losses.total > 0


def test_a_teacher_of_shorter_texts_is_refused(start, drawings, tmp_path: Path) -> None:
    folder = larger_folder(tmp_path / "larger", start.tokenizer, context_length=12)
    with pytest.raises(CocaSearchError, match="reads texts of 12 ids, fewer than the 24"):
        gradients_of(start, batch_of(start, drawings), folder)
    losses, _ = gradients_of(start, batch_of(start, drawings), folder, distill_caption_weight=0.0)
    assert losses.total > 0


@pytest.mark.parametrize("wider", ["the teacher", "the student"])
def test_a_teacher_that_writes_other_words_is_refused(start, drawings, tmp_path: Path, wider: str) -> None:
    narrow, words = 270, start.tokenizer.vocab_size
    if wider == "the teacher":
        start = narrowed(start, narrow)
    folder = larger_folder(tmp_path / "larger", start.tokenizer, written=narrow if wider == "the student" else None)
    theirs, own = (words, narrow) if wider == "the teacher" else (narrow, words)
    with pytest.raises(CocaSearchError, match=rf"larger writes {theirs} words, the model that is trained {own}"):
        gradients_of(start, batch_of(start, drawings), folder)
    losses, _ = gradients_of(start, batch_of(start, drawings), folder, distill_caption_weight=0.0)
    assert losses.total > 0


def test_two_that_write_the_same_first_words_learn_from_each_other(start, drawings, tmp_path: Path) -> None:
    start = narrowed(start, 270)
    batch = batch_of(start, drawings)
    assert (batch.ids >= 270).any()  # which neither can write
    folder = larger_folder(tmp_path / "larger", start.tokenizer, written=270)
    losses, _ = gradients_of(start, batch, folder, distill_weight=0.0)
    assert losses.total > 0


def narrowed(start: StartingPoint, written: int) -> StartingPoint:
    """The same with a decoder that writes the first words alone."""
    config = start.model.config
    return replace(start, model=CoCa(replace(config, multimodal=replace(config.multimodal, vocab_size=written))))


def test_a_teacher_that_is_not_there(start, drawings) -> None:
    with pytest.raises(CocaSearchError, match="no-such-model"):
        gradients_of(start, batch_of(start, drawings), Path("no-such-model"))
