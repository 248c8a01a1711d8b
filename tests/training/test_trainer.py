"""The loop: it learns, keeps the best, and leaves a folder that says how it was made."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import cocasearch.training.trainer as trainer_module
from cocasearch.checkpoints.model_folder import read_model_folder
from cocasearch.errors import CocaSearchError
from cocasearch.evaluation.retrieval_metrics import Recall
from cocasearch.images.decoding import read_image
from cocasearch.images.transforms import Preprocess
from cocasearch.training.results import TrainingResult
from cocasearch.training.run_folder.progress import TrainingProgress
from cocasearch.training.trainer import Trainer
from cocasearch.training.validation import retrieval_score, score


@pytest.fixture(scope="module")
def learned(runs, more_drawings, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingResult, Trainer, list]:
    """Every kind of drawing twice; the encoder trains from the start."""
    steps: list[TrainingProgress] = []
    config = runs.trainer(Path("none")).config.changed(
        epochs=36,
        batch_size=12,
        captions_per_image=3,
        frozen_epochs=0,
        frozen_blocks=0,
        encoder_learning_rate=3e-3,
        learning_rate=3e-3,
        dropout=0,
        validations=6,
    )
    out = tmp_path_factory.mktemp("learned") / "model"
    trainer = runs.trainer(
        out, config=config, progress=steps.append, images=more_drawings(36), held_out=18, names=False
    )
    return trainer.run(), trainer, steps


def test_both_losses_fall(learned) -> None:
    _, trainer, steps = learned
    assert [progress.step for progress in steps] == list(range(1, trainer.learner.steps + 1))
    assert steps[0].losses["contrastive"] > 2.4  # log 12 pictures and log 36 captions at random
    assert steps[0].losses["caption"] > 5  # log 320 tokens
    assert steps[-1].losses["contrastive"] < 1.2  # 0.55 where every picture is told from its neighbours
    assert steps[-1].losses["caption"] < 1
    assert {progress.losses["name"] for progress in steps} == {0}


def test_held_out_recall_rises(learned) -> None:
    result, _, steps = learned
    reports = [progress.validation for progress in steps if progress.validation]
    assert len(reports) == 6
    first, last = (report.retrieval for report in (reports[0], result.validation))
    assert last.text_to_image.at[1] > first.text_to_image.at[1] + 0.3
    assert last.image_to_text.at[1] > first.image_to_text.at[1] + 0.3
    assert last.text_to_image.at[1] > 0.6  # one of 18 at random


def test_the_folder_says_how_it_was_made(learned) -> None:
    result, trainer, _ = learned
    stored = read_model_folder(result.folder)
    assert stored.fingerprint == result.fingerprint
    provenance = stored.provenance
    assert provenance["preset"] == "toy"
    assert provenance["trained_steps"] == trainer.state.best_step
    assert provenance["pictures"] == [36]
    assert provenance["validation"] == result.validation.to_dict()
    assert provenance["training"]["encoder_learning_rate"] == 3e-3


def test_progress_says_how_long_it_takes(learned) -> None:
    _, trainer, steps = learned
    assert steps[-1].seconds_left == 0
    assert all(progress.steps == trainer.learner.steps and progress.images_per_second > 0 for progress in steps)
    assert steps[3].seconds_left > 0


def test_the_best_validated_weights_are_kept(runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.2, 0.5, 0.5, 0.4])  # of equals the later
    monkeypatch.setattr(trainer_module, "score", lambda *_: next(scores))
    averages: dict[int, dict[str, Tensor]] = {}

    def progress(progress: TrainingProgress) -> None:
        model = trainer.model.state_dict()
        assert any(not torch.equal(value, model[name]) for name, value in trainer.learner.average.weights.items())
        averages[progress.step] = {name: value.clone() for name, value in trainer.learner.average.weights.items()}

    trainer = runs.trainer(tmp_path / "model", progress=progress)
    trainer.run()
    stored = read_model_folder(tmp_path / "model")
    assert stored.provenance["trained_steps"] == trainer.state.best_step == 12
    for name, value in stored.load_model().state_dict().items():
        assert torch.equal(value, averages[12][name].half().float()), name


def test_few_pictures_are_judged_by_the_first_hit(learned) -> None:
    report = learned[0].validation

    def with_recalls(first: float, tenth: float):
        recall = Recall({1: first, 5: tenth, 10: tenth}, 1.0)
        retrieval = replace(report.retrieval, text_to_image=recall, image_to_text=recall)
        return replace(report, retrieval=retrieval)

    assert retrieval_score(with_recalls(0.5, 1.0)) > retrieval_score(with_recalls(0.4, 1.0))
    assert retrieval_score(with_recalls(0.983, 1.0)) == retrieval_score(with_recalls(0.982, 1.0))
    assert retrieval_score(with_recalls(0.0, 0.702)) > retrieval_score(with_recalls(1.0, 0.7))


@pytest.mark.parametrize("settings", [{"objective": "caption"}, {"contrastive_weight": 0.0, "label_smoothing": 0.1}])
def test_a_run_that_learns_to_caption_alone_is_judged_by_the_held_out_captions(
    runs, more_drawings, tmp_path: Path, settings: dict[str, object]
) -> None:
    """One sentence learned by heart: of all the others less and less is known."""
    steps: list[TrainingProgress] = []
    images = [replace(image, captions=("a red square.",)) for image in more_drawings(6)]
    eager = {"optimizer": "adamw", "learning_rate": 3e-3, "schedule": "const", "dropout": 0.0, "frozen_epochs": 60.0}
    config = runs.trainer(tmp_path).config.changed(epochs=60, validations=6, **eager, **settings)
    trainer = runs.trainer(
        tmp_path / "model", config=config, progress=steps.append, images=images, held_out=18, names=False
    )
    result = trainer.run()
    losses = {step.step: step.validation.caption_loss for step in steps if step.validation}
    best = min(losses, key=losses.__getitem__)
    assert best < trainer.learner.steps, losses
    assert read_model_folder(tmp_path / "model").provenance["trained_steps"] == best
    assert result.validation.caption_loss == losses[best]
    assert score(result.validation, trainer.config) > score(
        replace(result.validation, caption_loss=losses[trainer.learner.steps]), trainer.config
    )
    # the loss is what the model's own forward pass gives
    model = read_model_folder(tmp_path / "model").load_model()
    images = trainer.held_out
    ids = torch.cat([trainer.start.tokenizer(image.captions, 24) for image in images])
    pixels = torch.stack(
        [Preprocess(trainer.start.preprocess)(read_image(image.image, min_side=1)[0]) for image in images]
    )
    with torch.no_grad():
        logits = model(pixels.repeat_interleave(3, dim=0), ids).caption_logits
    pad = trainer.start.tokenizer.pad_id
    expected = F.cross_entropy(logits[:, : ids.shape[1] - 1].flatten(0, 1), ids[:, 1:].flatten(), ignore_index=pad)
    assert losses[best] == pytest.approx(expected.item(), rel=1e-2)  # the folder is in float16


def test_unreadable_pictures_are_named_held_out_ones_too(runs, more_drawings, tmp_path: Path) -> None:
    images = more_drawings(12)
    images[4] = replace(images[4], image=b"")
    trainer = runs.trainer(tmp_path / "model", images=images, held_out=5)
    trainer.held_out[2] = replace(trainer.held_out[2], image=b"no picture")
    result = trainer.run()
    assert result.unreadable == {
        images[4].key: "empty file",
        trainer.held_out[2].key: "not an image that can be read",
    }
    assert result.validation.n_images == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"contrastive_weight": 0.0, "caption_weight": 0.0}, "no loss has a weight"),
        ({"objective": "caption", "caption_weight": 0.0}, "with objective=caption no loss has a weight"),
        ({"contrastive_weight": 0.0, "caption_start": 0.5}, "caption_start leaves steps without anything to learn"),
    ],
)
def test_steps_without_anything_to_learn_are_refused(runs, tmp_path: Path, settings, message: str) -> None:
    with pytest.raises(CocaSearchError, match=message):
        runs.plain(tmp_path / "model", **settings).run()
    assert not (tmp_path / "model.run").exists()


def test_without_held_out_pictures_the_last_weights_are_kept(runs, tmp_path: Path) -> None:
    trainer = runs.plain(tmp_path / "model")
    trainer.card = "# Mine\n"
    result = trainer.run()
    assert result.validation is None
    assert (tmp_path / "model" / "README.md").read_text() == "# Mine\n"
    for name, value in read_model_folder(result.folder).load_model().state_dict().items():
        assert torch.equal(value, trainer.learner.average.weights[name].half().float()), name
