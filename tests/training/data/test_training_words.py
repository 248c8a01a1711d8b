"""A trained model says which words it was trained on, and one whose past is unknown says nothing."""

from dataclasses import replace
from pathlib import Path

import pytest

from cocasearch.checkpoints.model_folder import read_model_folder
from cocasearch.errors import CocaSearchError
from cocasearch.images.transforms import Preprocess
from cocasearch.text.known_words import KnownWords
from cocasearch.training.config import TrainingConfig
from cocasearch.training.data.class_names import ClassNames
from cocasearch.training.data.dataset import LabelledImages, Source, TrainingData
from cocasearch.training.data.training_words import known_after_training, write_known_words
from cocasearch.training.finetune_job import FinetuneRequest, finetune
from cocasearch.training.model.interpolation import interpolate_folders
from cocasearch.training.model.starting_point import from_model_folder, from_preset
from cocasearch.training.train_job import TrainingRequest, train

FEW_STEPS = TrainingConfig().changed(epochs=1, batch_size=6, held_out=4, validations=1, keep_near=True)
NOTHING = KnownWords({})


@pytest.fixture
def data(csv_of, more_drawings, tmp_path: Path) -> Path:
    """24 drawings with three captions each, two of which have "a" and one "the"."""
    return csv_of(tmp_path / "photos", more_drawings(24))


@pytest.fixture
def knowing_folder(model_folder: Path, tmp_path: Path) -> Path:
    """An untrained model that says it knows some words."""
    folder = tmp_path / "knowing"
    interpolate_folders(model_folder, model_folder, 0.0, folder, dtype="float32")
    KnownWords({"square": 5, "zebra": 7}).write(folder / "words.tsv")
    return folder


def words_in(folder: Path) -> KnownWords | None:
    return read_model_folder(folder).read_words()


def of_new_model(new_start, images, labelled: LabelledImages | None = None, names: ClassNames | None = None):
    start = new_start()
    sources = [Source(images[:12], 1.0), Source(images[12:], 2.0)]
    data = TrainingData(sources, start.tokenizer, Preprocess(start.preprocess), 24, labelled)
    return known_after_training(NOTHING, data, names)


def test_captions_of_all_sources_count_each_word_once(new_start, more_drawings) -> None:
    words = of_new_model(new_start, more_drawings(18))
    assert words.counts["red"] == 9 and words.counts["circle"] == 18
    assert (words.counts["a"], words.counts["the"], words.counts["wall"]) == (36, 18, 18)
    assert "purple" in words.counts and "." not in words.counts


def test_labels_count_for_their_pictures_and_class_names_as_known(new_start, more_drawings) -> None:
    names = ClassNames(["n1", "n2"], [("Okapi", "forest giraffe"), ("tapir",)], [("mammal",), ("mammal", "thing")])
    labelled = LabelledImages([image.image for image in more_drawings(5)], [0, 1, 1, 1, 1], names.names)
    of_labels = of_new_model(new_start, more_drawings(18), labelled)
    assert (of_labels.counts["okapi"], of_labels.counts["tapir"]) == (1, 4)
    assert of_labels.check("okapi", "tapir", "giraffe") == replace(
        of_labels.check(""), known=("tapir",), barely_known=("okapi",), never_seen=("giraffe",)
    )
    of_names = of_new_model(new_start, more_drawings(18), None, names)
    assert of_names.check("a forest giraffe, an okapi, a tapir").unknown == ()


def test_what_is_made_of_a_model_of_unknown_past_claims_nothing(runs, tmp_path: Path, model_folder: Path) -> None:
    trained = runs.plain(tmp_path / "model").run()  # its start does not say what it knows
    assert words_in(trained.folder) is None
    assert from_model_folder(model_folder).words is None


def test_a_fresh_model_knows_nothing_yet() -> None:
    assert from_preset("coca-mini", ["a dog."], image_weights=False).words == NOTHING


def test_a_run_writes_its_words_and_a_resumed_one_the_same(runs, new_start, tmp_path: Path) -> None:
    def start():
        return replace(new_start(), words=KnownWords({"zebra": 7, "red": 1}))

    whole = runs.plain(tmp_path / "whole")
    whole.start = start()
    whole.run()
    words = words_in(tmp_path / "whole")
    assert words is not None and words.counts["zebra"] == 7 and words.counts["red"] == 13

    def stop(progress):
        if progress.step == 2:
            raise KeyboardInterrupt

    for progress in (stop, None):
        run = runs.plain(tmp_path / "stopped")
        run.start, run.progress = start(), progress or (lambda _: None)
        try:
            run.run()
        except KeyboardInterrupt:
            assert progress is stop
    assert words_in(tmp_path / "stopped") == words
    assert read_model_folder(tmp_path / "stopped").fingerprint == read_model_folder(tmp_path / "whole").fingerprint


def test_training_on_adds_to_what_a_model_knew(data: Path, knowing_folder: Path, tmp_path: Path) -> None:
    train(TrainingRequest([data], tmp_path / "more", model=str(knowing_folder)), FEW_STEPS, device="cpu")
    words = words_in(tmp_path / "more")
    assert words is not None
    assert words.counts["zebra"] == 7
    assert words.counts["the"] == 20  # without the four pictures held out


def test_tuning_adds_its_words_and_a_mixture_keeps_them(data: Path, knowing_folder: Path, tmp_path: Path) -> None:
    def strongly(config: TrainingConfig) -> TrainingConfig:
        return config.changed(epochs=8.0, optimizer="muon", learning_rate=3e-3, keep_near=True)

    out = tmp_path / "tuned"
    result = finetune(FinetuneRequest(data, out, knowing_folder, keep=0.25, adjust=strongly), device="cpu")
    assert result.kept == 0.25
    words = words_in(out)
    assert words is not None
    assert words.counts["zebra"] == 7 and words.counts["wall"] == 24 - result.before.n_images
    interpolate_folders(knowing_folder, out, 0.5, tmp_path / "mixed")
    assert words_in(tmp_path / "mixed") == words
    interpolate_folders(knowing_folder, out, 1.0, tmp_path / "back")
    assert words_in(tmp_path / "back") == words_in(knowing_folder)


def test_tuning_that_made_nothing_better_has_taught_no_words(data: Path, knowing_folder: Path, tmp_path: Path) -> None:
    def hardly(config: TrainingConfig) -> TrainingConfig:
        return config.changed(epochs=1.0, learning_rate=1e-9, encoder_learning_rate=1e-9, keep_near=True)

    result = finetune(FinetuneRequest(data, tmp_path / "tuned", knowing_folder, adjust=hardly), device="cpu")
    assert result.kept == 1.0
    assert words_in(tmp_path / "tuned") == words_in(knowing_folder)


def test_a_model_is_given_its_words_by_hand(data: Path, model_folder: Path, class_names, tmp_path: Path) -> None:
    interpolate_folders(model_folder, model_folder, 0.0, tmp_path / "model")
    before = read_model_folder(tmp_path / "model").fingerprint
    names = tmp_path / "names.tsv"
    names.write_text("wnid\tname\tsynonyms\thypernyms\nn1\tokapi\tforest giraffe\tmammal\n")
    words = write_known_words(tmp_path / "model", [data, data], names)
    assert words_in(tmp_path / "model") == words
    assert words.counts["wall"] == 48 and words.check("okapi", "giraffe").known == ("okapi", "giraffe")
    assert read_model_folder(tmp_path / "model").fingerprint == before
    with pytest.raises(CocaSearchError, match="is not a model folder"):
        write_known_words(tmp_path, [data])
