"""A model folder trained further on one's own pictures: what is chosen, measured, kept and told."""

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from shapes_collection import line_chart

from cocasearch.captioned_data import CaptionedData, read_captioned_data
from cocasearch.checkpoints.model_folder import read_model_folder
from cocasearch.errors import CocaSearchError
from cocasearch.evaluation.benchmark import EvaluationReport, Examination, evaluate
from cocasearch.evaluation.outcomes import ImageOutcomes, caption_figures
from cocasearch.inference.generation.caption_options import CaptionOptions
from cocasearch.inference.generation.captioner import Captioner
from cocasearch.inference.loaded_model import load_model
from cocasearch.paths import bundled_model_folder, sample_captions_file
from cocasearch.training.config import TrainingConfig
from cocasearch.training.data import splitting
from cocasearch.training.data.splitting import Excluded
from cocasearch.training.data.training_sources import Columns, DataListener
from cocasearch.training.finetune_defaults import Plan
from cocasearch.training.finetune_job import FinetuneListener, FinetuneRequest, finetune
from cocasearch.training.forgetting import Forgetting
from cocasearch.training.model.interpolation_curve import KEPT, suggested_point
from cocasearch.training.run_folder.progress import TrainingProgress
from cocasearch.training.run_folder.run_checkpoint import RunCheckpoint, run_folder_of
from cocasearch.training.run_folder.run_record import Reporting

CAPTION_ADAPTERS = {"lora_rank": 2, "lora_towers": "caption", "lora_extras": ""}


def quick(config: TrainingConfig) -> TrainingConfig:
    return config.changed(epochs=1.0, keep_near=True)


def strongly(config: TrainingConfig) -> TrainingConfig:
    """An untrained model needs more than a gentle push; small drawings of one kind are alike."""
    return config.changed(
        epochs=16.0,
        frozen_epochs=1.0,
        optimizer="muon",
        learning_rate=3e-3,
        encoder_learning_rate=3e-3,
        keep_near=True,
    )


def planned(request: FinetuneRequest) -> Plan:
    """What is going to be done; it is not begun."""
    plans: list[Plan] = []

    def stop(plan: Plan) -> None:
        plans.append(plan)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(request, listener=FinetuneListener(stop), device="cpu")
    return plans[0]


@pytest.fixture
def data(csv_of, more_drawings, tmp_path: Path) -> Path:
    return csv_of(tmp_path / "photos", more_drawings(24))


def test_finetuning_makes_a_model_better_and_says_so(csv_of, more_drawings, model_folder: Path, tmp_path: Path) -> None:
    told: list[tuple[str, EvaluationReport]] = []
    plans: list[Plan] = []
    out = tmp_path / "mine"
    result = finetune(
        FinetuneRequest(
            csv_of(tmp_path / "photos", more_drawings(72)),
            out,
            model_folder,
            adjust=strongly,
            guard=csv_of(tmp_path / "others", more_drawings(12, first=100)),
        ),
        listener=FinetuneListener(plans.append, lambda moment, report: told.append((moment, report))),
        device="cpu",
    )
    assert told == [("before", result.before), ("after", result.after)]
    assert plans == [result.plan]
    assert (plans[0].n_images, plans[0].n_held_out) == (58, 14)
    assert result.before.n_images == result.after.n_images == 14  # a fifth
    before, after = result.before.retrieval, result.after.retrieval
    assert after.text_to_image.at[1] > before.text_to_image.at[1] + 0.2
    assert after.image_to_text.median_rank < before.image_to_text.median_rank
    assert result.after.captions.rouge_l > result.before.captions.rouge_l + 0.3
    figure = result.comparison["caption ROUGE-L"]
    assert (figure.before, figure.after) == pytest.approx(
        (result.before.captions.rouge_l, result.after.captions.rouge_l)
    )
    assert figure.verdict == "better"
    assert result.kept == 0
    assert not result.is_measured_apart
    stored = read_model_folder(out)
    assert stored.fingerprint == result.fingerprint == load_model(out, device="cpu").fingerprint
    base = {"name": "untrained", "fingerprint": read_model_folder(model_folder).fingerprint}
    assert stored.provenance["started_from"] == base
    assert "fine-tuned from untrained on 58 captioned photos" in (out / "README.md").read_text()
    caption = Captioner(load_model(out, device="cpu")).caption_pixels(torch.zeros(1, 3, 32, 32), CaptionOptions())[0]
    assert any(shape in caption.text for shape in ("square", "circle", "triangle"))
    # the table of shares begins with what was trained and ends with what it started from
    assert [share.keep for share in result.curve] == list(KEPT)
    assert result.curve[0].new.text_to_image.at[10] == pytest.approx(after.text_to_image.at[10])
    assert result.curve[-1].new == before
    assert result.curve[-1].is_gentle
    assert suggested_point(result.curve) in (None, *result.curve)
    assert result.forgetting.guard == "12 photos of captions.csv"
    assert result.curve[0].old == result.forgetting.after.retrieval
    assert result.curve[-1].old == result.forgetting.before.retrieval


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"image_layer_decay": 0.1}, "image_layer_decay"),
        ({"frozen_epochs": 0.5}, "frozen_epochs"),
        ({"lock_image": True, "unlocked_image_groups": 2}, "unlocked_image_groups"),
        ({"checkpointed_image_blocks": 1}, "checkpointed_image_blocks"),
        ({"lora_rank": 2}, "lora_rank"),
    ],
)
def test_settings_of_the_image_encoder_have_it_trained(
    data: Path, transformer_folder: Path, tmp_path: Path, settings: dict[str, object], named: str
) -> None:
    def asked(config: TrainingConfig) -> TrainingConfig:
        return config.changed(epochs=8.0, learning_rate=2e-3, keep_near=True, **settings)

    plan = planned(FinetuneRequest(data, tmp_path / "m", transformer_folder, adjust=asked))
    assert plan.config.optimization.encoder_learning_rate == pytest.approx(2e-4)
    assert plan.config.freezing.frozen_epochs == settings.get("frozen_epochs", 2.0)
    assert {name: plan.config.values()[name] for name in settings} == settings
    assert f"(for the sake of {named}; --encoder-lr changes it)" in plan.sentences()[1]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"lock_image": True, "image_layer_decay": 0.1},
        {"lock_image": True, "unlocked_image_groups": 1},  # what is above the encoder
        {"image_layer_decay": 0.1, "encoder_learning_rate": 0.0},
        {"lora_rank": 2, "lora_towers": "text,caption"},
    ],
)
def test_image_encoder_is_kept_where_nothing_asks_for_it(
    data: Path, transformer_folder: Path, tmp_path: Path, settings: dict[str, object]
) -> None:
    request = FinetuneRequest(
        data, tmp_path / "m", transformer_folder, adjust=lambda config: quick(config).changed(**settings)
    )
    plan = planned(request)
    assert plan.config.optimization.encoder_learning_rate == 0
    assert "image encoder kept as it is" in plan.sentences()[1]


def test_adapters_of_the_image_encoder_learn(data: Path, transformer_folder: Path, tmp_path: Path) -> None:
    request = FinetuneRequest(
        data,
        tmp_path / "m",
        transformer_folder,
        adjust=lambda config: quick(config).changed(epochs=2.0, lora_rank=2, learning_rate=3e-2),
    )
    finetune(request, device="cpu")
    trained, start = (
        read_model_folder(folder).load_model().image_encoder for folder in (request.out, transformer_folder)
    )
    moved = {name for name, value in trained.state_dict().items() if not torch.equal(value, start.state_dict()[name])}
    assert "blocks.0.attention.qkv.weight" in moved
    assert all(name.startswith("blocks.") and name.endswith("weight") for name in moved)


def test_share_of_the_starting_weights_is_kept(
    csv_of, more_drawings, data: Path, model_folder: Path, tmp_path: Path
) -> None:
    def weights(keep: float) -> dict[str, torch.Tensor]:
        request = FinetuneRequest(data, tmp_path / f"m{keep}", model_folder, keep=keep, adjust=strongly)
        result = finetune(request, device="cpu")
        assert result.kept == keep
        shown = next(share.new for share in result.curve if share.keep == keep)
        assert result.after.retrieval.image_to_text.at[10] == pytest.approx(shown.image_to_text.at[10], abs=0.26)
        return read_model_folder(request.out).load_model().state_dict()

    start = read_model_folder(model_folder).load_model().state_dict()
    trained, mixed = weights(0.0), weights(0.5)
    assert any(not torch.allclose(start[name], trained[name], atol=1e-2) for name in start)
    for name in start:
        torch.testing.assert_close(mixed[name], (start[name] + trained[name]) / 2, atol=2e-3, rtol=2e-3)
    kept = read_model_folder(tmp_path / "m0.5").provenance["kept"]
    assert kept == {"share": 0.5, "of": read_model_folder(tmp_path / "m0.5").provenance["started_from"]}
    with pytest.raises(CocaSearchError, match="keep must be from 0 to below 1, not 1"):
        finetune(FinetuneRequest(data, tmp_path / "other", model_folder, keep=1.0))


def test_what_is_forgotten_of_everyday_photos_is_measured_by_default(
    data: Path, model_folder: Path, tmp_path: Path
) -> None:
    result = finetune(FinetuneRequest(data, tmp_path / "mine", model_folder, adjust=quick), device="cpu")
    told = result.to_dict()["guard"]
    assert told["data"] == "15 everyday photos that come with cocasearch"
    assert told["before"]["n_images"] == told["after"]["n_images"] == 15
    everyday = read_captioned_data(sample_captions_file())
    shown = evaluate(load_model(tmp_path / "mine", device="cpu"), everyday, caption_options=None).retrieval
    assert result.curve[0].old == result.forgetting.after.retrieval == shown


def test_captions_that_are_no_longer_right_are_named() -> None:
    def examined(*captions: str) -> Examination:
        figures = caption_figures(captions, [["a cat on a mat"], ["a dog"]])
        recall = dict.fromkeys(("text to image recall@1", "image to text recall@1"), figures["caption right"])
        return Examination(None, ImageOutcomes(("cat.jpg", "dog.jpg"), figures | recall), captions)  # type: ignore[arg-type]

    found = Forgetting.between("2 photos", examined("a cat", "a cow"), examined("the two of spades", "a dog"), seed=0)
    assert found.unlearned == [("cat.jpg", "the two of spades")]
    assert found.sentence().startswith("what it knew before, on 2 photos: text to image recall@1 0.500 to 0.500, ")


def test_starting_weights_stay_if_nothing_gets_better(data: Path, model_folder: Path, tmp_path: Path) -> None:
    def uselessly(config: TrainingConfig) -> TrainingConfig:
        return quick(config).changed(learning_rate=1e-9)

    result = finetune(FinetuneRequest(data, tmp_path / "mine", model_folder, adjust=uselessly), device="cpu")
    assert not result.comparison.anything_gained
    assert result.kept == 1.0
    start, written = (
        read_model_folder(folder).load_model().state_dict() for folder in (model_folder, tmp_path / "mine")
    )
    for name, value in start.items():
        torch.testing.assert_close(written[name], value, atol=1e-3, rtol=1e-3)  # float16 on disk


def test_adapters_get_a_rate_of_their_own_unless_one_is_asked_for(
    data: Path, model_folder: Path, tmp_path: Path
) -> None:
    def rates(**settings: object) -> tuple[float, str]:
        plans: list[Plan] = []

        def stop(plan: Plan) -> None:
            plans.append(plan)
            raise InterruptedError

        request = FinetuneRequest(
            data, tmp_path / "mine", model_folder, adjust=lambda config: quick(config).changed(**settings)
        )
        with pytest.raises(InterruptedError):
            finetune(request, listener=FinetuneListener(stop), device="cpu")
        return plans[0].config.optimization.learning_rate, plans[0].sentences()[1]

    weights, _ = rates()
    adapters, said = rates(lora_rank=2)
    assert adapters == pytest.approx(10 * weights)
    assert said.startswith("adapters of rank 2, rate 0.003 (10 times that of weights, since adapters start at nothing;")
    rate, said = rates(lora_rank=2, learning_rate=1e-5)
    assert rate == 1e-5
    assert said.startswith("adapters of rank 2, rate 1e-05; ")


def test_finetuning_measures_on_other_data_if_given(csv_of, more_drawings, data, model_folder, tmp_path: Path) -> None:
    validation = csv_of(tmp_path / "others", more_drawings(3, first=300))
    request = FinetuneRequest(data, tmp_path / "mine", model_folder, validation, adjust=quick)
    assert finetune(request, device="cpu").after.n_images == 3
    assert read_model_folder(tmp_path / "mine").provenance["pictures"] == [24]


def test_weights_are_chosen_by_other_pictures_than_are_measured_where_there_are_enough(
    csv_of, more_drawings, data: Path, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(splitting, "MEASURED_APART_FROM", 8)
    validation = csv_of(tmp_path / "others", more_drawings(9, first=300))
    request = FinetuneRequest(data, tmp_path / "mine", model_folder, validation, adjust=quick)
    result = finetune(request, device="cpu")
    assert result.is_measured_apart
    choosing, judging = splitting.validation_and_test(Columns().read(validation).images, seed=0)
    assert sorted(image.key for image in choosing + judging) == sorted(x.key for x in more_drawings(9, first=300))
    loaded = load_model(model_folder, device="cpu", prepack=False)
    assert result.before.retrieval == evaluate(loaded, judging, caption_options=None).retrieval
    assert result.curve[-1].new == evaluate(loaded, choosing, caption_options=None).retrieval
    assert result.training.validation is not None
    assert (result.training.validation.n_images, result.after.n_images) == (5, 4)


def test_columns_of_other_names(csv_of, more_drawings, data: Path, model_folder: Path, tmp_path: Path) -> None:
    data.write_text(data.read_text().replace("filepath,title", "foto,words"))
    columns = Columns(image_key="foto", caption_key="words")
    usual = csv_of(tmp_path / "others", more_drawings(3, first=300))
    request = FinetuneRequest(data, tmp_path / "mine", model_folder, usual, usual, columns=columns, adjust=quick)
    assert finetune(request, device="cpu").after.n_images == 3
    with pytest.raises(CocaSearchError, match="its columns are: foto, words"):
        finetune(FinetuneRequest(data, tmp_path / "other", model_folder))


def test_too_few_pictures_to_measure(csv_of, more_drawings, model_folder: Path, tmp_path: Path) -> None:
    few = csv_of(tmp_path / "photos", more_drawings(4))
    with pytest.raises(CocaSearchError, match="has 4 photos, too few to hold some out") as caught:
        finetune(FinetuneRequest(few, tmp_path / "mine", model_folder))
    assert "--val DATA" in str(caught.value.hint)
    assert not (tmp_path / "mine").exists()


def test_a_picture_under_two_names_is_one_picture(
    csv_of, more_drawings, data: Path, model_folder: Path, tmp_path: Path
) -> None:
    drawings = more_drawings(24)
    copies = [replace(image, key=f"copy-{image.key}", captions=("a copy.",)) for image in drawings[:20]]
    data = csv_of(tmp_path / "twice", [*drawings, *copies])
    told: list[CaptionedData] = []
    columns = Columns(listener=DataListener(read=told.append))
    result = finetune(
        FinetuneRequest(data, tmp_path / "mine", model_folder, columns=columns, adjust=quick), device="cpu"
    )
    assert (result.plan.n_images, result.plan.n_held_out) == (20, 4)
    assert [copy.where for copy in told[0].copies] == [image.key for image in copies]


@pytest.mark.parametrize("asked", [{"guard": "nowhere.csv"}, {"reporting": Reporting(["mlflow"])}])
def test_what_is_named_wrongly_is_refused_before_the_data_are_read(
    data: Path, model_folder: Path, tmp_path: Path, asked: dict[str, Any]
) -> None:
    told: list[CaptionedData] = []
    request = FinetuneRequest(
        data, tmp_path / "mine", model_folder, columns=Columns(listener=DataListener(read=told.append)), **asked
    )
    with pytest.raises(CocaSearchError, match=r"nowhere\.csv|mlflow"):
        finetune(request, device="cpu")
    assert not told


@pytest.mark.parametrize(
    ("settings", "reporting", "words"),
    [
        ({"contrastive_weight": 0.0, "caption_weight": 0.0}, Reporting(), "no loss has a weight"),
        ({"distill_from": str(bundled_model_folder())}, Reporting(), "another tokenizer"),
        ({}, Reporting(["mlflow"]), "cannot be reported to 'mlflow'"),
        ({"lora_rank": 2, "lora_towers": "vision"}, Reporting(), "lora_towers names 'vision'"),
        ({"objective": "contrastive", **CAPTION_ADAPTERS}, Reporting(), "trains multimodal_decoder, which no loss"),
        ({"caption_start": 0.5, **CAPTION_ADAPTERS}, Reporting(), "trains multimodal_decoder, which no loss reaches"),
    ],
)
def test_what_settings_make_impossible_is_refused_before_anything_is_measured(
    data: Path, model_folder: Path, tmp_path: Path, settings: dict[str, object], reporting: Reporting, words: str
) -> None:
    request = FinetuneRequest(
        data,
        tmp_path / "mine",
        model_folder,
        adjust=lambda config: quick(config).changed(**settings),
        reporting=reporting,
    )
    stages: list[str] = []
    listener = FinetuneListener(stage=lambda what, _done, _total: stages.append(what))
    with pytest.raises(CocaSearchError, match=words):
        finetune(request, listener=listener, device="cpu")
    assert stages == []


def test_a_guard_of_which_nothing_can_be_read_is_refused_before_anything_is_measured(
    data: Path, model_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "torn.jpg").write_bytes(b"torn")
    guard = tmp_path / "guard.csv"
    guard.write_text("image,caption\ntorn.jpg,a thing\n")
    stages: list[str] = []
    listener = FinetuneListener(stage=lambda what, _done, _total: stages.append(what))
    with pytest.raises(CocaSearchError, match=r"not one of the 1 photos of .*guard\.csv can be read"):
        finetune(
            FinetuneRequest(data, tmp_path / "m", model_folder, guard=guard, adjust=quick),
            listener=listener,
            device="cpu",
        )
    assert stages == []


def test_a_run_that_diverged_is_told_when_it_is_measured(data: Path, model_folder: Path, tmp_path: Path) -> None:
    def wildly(config: TrainingConfig) -> TrainingConfig:
        return quick(config).changed(learning_rate=1e30, batch_size=24, ema_decay=0.0)

    with pytest.raises(
        CocaSearchError, match=r"after step 1 the model's vectors are no numbers .* has diverged"
    ) as caught:
        finetune(FinetuneRequest(data, tmp_path / "m", model_folder, adjust=wildly), device="cpu")
    assert "lower learning rate" in str(caught.value.hint)


def test_another_run_in_its_place_is_refused_before_anything_is_measured(
    data: Path, model_folder: Path, tmp_path: Path
) -> None:
    def stop(progress: TrainingProgress) -> None:
        raise KeyboardInterrupt

    request = FinetuneRequest(data, tmp_path / "mine", model_folder, adjust=quick)
    with pytest.raises(KeyboardInterrupt):
        finetune(request, listener=FinetuneListener(progress=stop), device="cpu")
    moments: list[str] = []
    listener = FinetuneListener(measured=lambda moment, _report: moments.append(moment))
    other = replace(request, adjust=lambda config: quick(config).changed(label_smoothing=0.1))
    with pytest.raises(CocaSearchError, match="holds an interrupted run with other settings or data"):
        finetune(other, listener=listener, device="cpu")
    assert moments == []


def test_remote_copy_is_of_the_model_as_it_is_at_last(data: Path, model_folder: Path, tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    request = FinetuneRequest(
        data, tmp_path / "mine", model_folder, keep=0.5, adjust=strongly, reporting=Reporting(remote=str(remote))
    )
    finetune(request, device="cpu")
    weights = "model.safetensors"
    assert (remote / "mine" / weights).read_bytes() == (tmp_path / "mine" / weights).read_bytes()
    assert not (remote / "mine.run" / "checkpoint.pt").exists()


def test_proof_is_kept_whatever_becomes_of_the_remote_place(data: Path, model_folder: Path, tmp_path: Path) -> None:
    remote = tmp_path / "remote"

    def fail(moment: str, _report: EvaluationReport) -> None:
        if moment == "after":
            shutil.rmtree(remote)
            remote.write_text("no folder")

    request = FinetuneRequest(
        data, tmp_path / "mine", model_folder, adjust=quick, reporting=Reporting(remote=str(remote))
    )
    result = finetune(request, listener=FinetuneListener(measured=fail), device="cpu")
    assert result.training.not_copied.startswith(f"cannot copy the run to {remote}: ")
    kept = json.loads((tmp_path / "mine.run" / "result.json").read_text())
    assert kept == json.loads(json.dumps(result.to_dict()))
    assert kept["verdict"] == result.comparison.sentences()


def test_what_is_measured_on_is_not_trained_on_and_told(
    csv_of, more_drawings, data: Path, model_folder: Path, tmp_path: Path
) -> None:
    validation = csv_of(tmp_path / "others", more_drawings(4, first=22))  # two of which are also in the data
    told: list[Excluded] = []
    columns = Columns(listener=DataListener(excluded=told.append))
    request = FinetuneRequest(data, tmp_path / "m", model_folder, validation, columns=columns, adjust=quick)
    finetune(request, device="cpu")
    assert len(told) == 1
    assert [key for key, _ in told[0].same] == [image.key for image in more_drawings(2, first=22)]
    assert read_model_folder(tmp_path / "m").provenance["pictures"] == [22]


def test_kind_that_looks_alike_is_learned_from_all_the_same(model_folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "lines.csv"
    pictures = [line_chart(random.Random(number)) for number in range(40)]
    for number, (picture, _) in enumerate(pictures):
        picture.save(tmp_path / f"{number}.png")
    rows = [f"{number}.png,{caption}" for number, (_, caption) in enumerate(pictures)]
    data.write_text("\n".join(["filepath,title", *rows]))
    counts: list[int] = []
    columns = Columns(listener=DataListener(look_alike=counts.append))
    request = FinetuneRequest(
        data, tmp_path / "m", model_folder, columns=columns, adjust=lambda config: config.changed(epochs=1.0)
    )
    finetune(request, device="cpu")
    assert counts[0] > 4
    assert read_model_folder(tmp_path / "m").provenance["pictures"] == [32]


def test_a_run_stopped_while_it_measures_is_taken_up_at_its_end(data: Path, model_folder: Path, tmp_path: Path) -> None:
    def stop(moment: str, report: EvaluationReport) -> None:
        if moment == "after":
            raise KeyboardInterrupt

    steps: list[int] = []
    request = FinetuneRequest(data, tmp_path / "mine", model_folder, keep=0.5, adjust=quick)
    with pytest.raises(KeyboardInterrupt):
        finetune(request, listener=FinetuneListener(measured=stop), device="cpu")
    resumed = finetune(request, listener=FinetuneListener(progress=lambda at: steps.append(at.step)), device="cpu")
    assert not steps  # nothing was trained again
    whole = finetune(replace(request, out=tmp_path / "whole"), device="cpu")
    assert resumed.fingerprint == whole.fingerprint
    with pytest.raises(CocaSearchError, match="holds a finished model already"):
        finetune(request, device="cpu")


def test_a_mixture_is_not_mixed_again(data: Path, model_folder: Path, tmp_path: Path) -> None:
    request = FinetuneRequest(data, tmp_path / "mine", model_folder, keep=0.5, adjust=quick)
    fingerprint = finetune(request, device="cpu").fingerprint
    RunCheckpoint(run_folder_of(request.out)).begin()  # as if killed before it could say that it is over
    with pytest.raises(CocaSearchError, match="holds a finished model already"):
        finetune(request, device="cpu")
    assert read_model_folder(request.out).fingerprint == fingerprint
