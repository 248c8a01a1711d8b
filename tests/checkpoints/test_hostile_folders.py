"""Model folders that were made to do harm: refused in one sentence, before time or memory is spent on them."""

import json
import pickle
import shutil
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cocasearch.checkpoints.foreign.foreign_weights import read_foreign_weights
from cocasearch.checkpoints.model_folder import read_model_folder
from cocasearch.errors import CocaSearchError
from cocasearch.model.config import CoCaConfig
from cocasearch.text.tokenizer import Tokenizer, clip_tokenizer

Change = Callable[[dict[str, Any]], Any]


@pytest.fixture
def folder(tiny_model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model_folder, tmp_path / "m"))


def edit(file: Path, change: Change) -> None:
    described = json.loads(file.read_text())
    change(described)
    file.write_text(
        json.dumps(described).replace('"<digits>"', "9" * 10_000).replace('"<deep>"', "[" * 500 + "]" * 500)
    )


def refused(read: Callable[[], object]) -> str:
    """The sentence in which reading refuses, at once."""
    started = time.process_time()
    with pytest.raises(CocaSearchError) as caught:
        read()
    assert time.process_time() - started < 2
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "value", ["<digits>", "<deep>", float("nan"), "12", None, 0, -1, 2.5, True, 10**9, [], "x" * 999]
)
@pytest.mark.parametrize(
    "place",
    [
        ("architecture", "embed_dim"),
        ("architecture", "image", "patch_size"),
        ("architecture", "image", "layers"),
        ("architecture", "text", "vocab_size"),
        ("architecture", "pooler", "queries"),
        ("preprocessing", "image_size"),
        ("preprocessing", "std"),
    ],
    ids=".".join,
)
def test_what_no_model_has_is_refused(folder: Path, place: tuple[str, ...], value: object) -> None:
    def change(described: dict[str, Any]) -> None:
        for name in place[:-1]:
            described = described[name]
        described[place[-1]] = value

    edit(folder / "config.json", change)
    refused(lambda: read_model_folder(folder))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda config: config.update(fingerprint=7), "its fingerprint or provenance is none"),
        (lambda config: config.update(fingerprint="../" * 9), "its fingerprint or provenance is none"),
        (lambda config: config.update(provenance=[1]), "its fingerprint or provenance is none"),
        (lambda config: config["preprocessing"].update(image_size=64), "images of 64 pixels .* sees 32"),
        (lambda config: config["preprocessing"].update(mean=[1e308, 0, 0]), "mean needs 3 values"),
        (lambda config: config["architecture"]["text"].update(pad_id=-3), "pad_id of -3"),
        (lambda config: config["architecture"].update(image=[1]), "architecture is none"),
        (lambda config: config.update(provenance="<deep>"), "nested too deeply"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(folder: Path, change: Change, sentence: str) -> None:
    edit(folder / "config.json", change)
    with pytest.raises(CocaSearchError, match=sentence):
        read_model_folder(folder)


def test_the_largest_numbers_that_are_taken_cost_no_memory() -> None:
    fields = {"image": {"kind": "efficientnet_lite", "blocks": [[64, 15, 4, 32, 4097]]}}
    refused(lambda: CoCaConfig.from_dict(fields))
    refused(lambda: CoCaConfig.from_dict({"image": {"image_size": 4096, "patch_size": 1}}))
    refused(lambda: CoCaConfig.from_dict({"image": {"image_size": 4, "patch_size": 5}}))


def replaced(pattern: dict[str, str], content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


def in_sequence(*steps: dict[str, Any]) -> Change:
    return lambda described: described.update(normalizer={"type": "Sequence", "normalizers": list(steps)})


def split_at(pattern: str) -> Change:
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return lambda described: described.update(pre_tokenizer=split)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (in_sequence(*[replaced({"String": "a"}, "aaaaaaaaaa")] * 10), "many times as much of a text"),
        (in_sequence(*[replaced({"Regex": "$"}, "aaa")] * 10), "many times as much of a text"),
        (in_sequence(*[{"type": "Prepend", "prepend": "a" * 99}] * 10), "many times as much of a text"),
        (split_at("(a+)+$"), r"searches texts for '\(a\+\)\+\$', which may take for ever"),
        (split_at(r"(?:\)|[)]|x*){3,}y"), "may take for ever"),
        (lambda described: described.update(model="<deep>"), "is not a tokenizer.json"),
        (lambda described: described.update(version="<digits>"), "is not a tokenizer.json"),
    ],
)  # fmt: skip
def test_a_tokenizer_without_bounds_is_refused(folder: Path, change: Change, sentence: str) -> None:
    edit(folder / "tokenizer.json", change)
    with pytest.raises(CocaSearchError, match=sentence):
        read_model_folder(folder)


def test_what_published_tokenizers_search_for_is_taken(folder: Path) -> None:
    for pattern in (
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        r"(?i:'s|'t|'re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|[()+*]+",
    ):
        edit(folder / "tokenizer.json", split_at(pattern))
        assert read_model_folder(folder).tokenizer.encode("a red square")


def test_what_a_tokenizer_raises_is_one_sentence(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = {"type": "WordLevel", "vocab": {"<pad>": 0, "<start_of_text>": 1, "<end_of_text>": 2}, "unk_token": "?"}
    edit(folder / "tokenizer.json", lambda described: described.update(model=words))
    tokenizer = Tokenizer.load(folder / "tokenizer.json")
    assert "cannot deal with a text" in refused(lambda: tokenizer(["a dog"], 20))


def test_a_panic_of_a_tokenizer_is_one_sentence(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    edit(folder / "tokenizer.json", split_at("(?:a|a)" * 30 + "c"))
    tokenizer = read_model_folder(folder).tokenizer
    for use in (lambda: tokenizer(["a" * 30], 20), lambda: tokenizer.encode("a" * 30)):
        assert "cannot deal with a text: Onig" in refused(use)
    capfd.readouterr()  # the library prints its panics


def test_numbers_of_tokens_beyond_the_vocabulary_are_refused(folder: Path) -> None:
    def spread(described: dict[str, Any]) -> None:
        vocabulary = described["model"]["vocab"]
        described["model"]["vocab"] = {token: at if at < 3 else at * 1000 for token, at in vocabulary.items()}

    edit(folder / "tokenizer.json", spread)
    tokenizer = read_model_folder(folder).tokenizer
    assert "gives a token the number" in refused(lambda: tokenizer(["a dog"], 20))
    assert "gives a token the number" in refused(lambda: tokenizer.encode("a dog"))


def test_of_an_endless_text_no_more_is_read_than_a_model_sees() -> None:
    tokenizer = clip_tokenizer()
    started = time.process_time()
    ids = tokenizer(["a red dog " * 1_000_000], 76)
    assert ids.equal(tokenizer(["a red dog " * 100], 76))
    assert tokenizer.unread_end("a red dog " * 1_000_000, 76).startswith("dog a red dog")
    assert time.process_time() - started < 2


def pickled(content: bytes) -> bytes:
    return b"\x80\x02" + content + b"."


@pytest.mark.parametrize(
    "content",
    [
        pickled(b"}(X\x01\x00\x00\x00acbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85Ru"),
        pickled(b"}(X\x01\x00\x00\x00ac_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00hex\x86Ru"),
        pickled(b"}(K\x01q\x00" + b"h\x00h\x00\x86q\x00" * 40 + b"K\x01u"),
        pickled(
            b"}(K\x01q\x00(" + b"h\x00" * 1000 + b"tq\x00(" + b"h\x00" * 9000 + b"tq\x00(" + b"h\x00" * 9 + b"tK\x01u"
        ),
        pickled(b"}(K\x01" + b"\x85" * 300_000 + b"K\x01u"),
    ],
    ids=["bytearray", "codec", "doubled", "wide", "deep"],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_a_few_pickled_bytes_take_neither_hours_nor_the_memory(tmp_path: Path, content: bytes, zipped: bool) -> None:
    file = tmp_path / "weights.pt"
    torch.save({"a": torch.zeros(4)}, file)
    if zipped:
        with zipfile.ZipFile(file) as whole:
            members = {name: whole.read(name) for name in whole.namelist()}
        with zipfile.ZipFile(file, "w") as archive:
            for name, stored in members.items():
                archive.writestr(name, content if name.endswith("data.pkl") else stored)
    else:
        file.write_bytes(b"".join(pickle.dumps(header, 2) for header in (0x1950A86A20F9469CFC6C, 1001, {})) + content)
    started = time.process_time()
    with pytest.raises(CocaSearchError, match="more time or memory than any weights do"):
        read_foreign_weights(file)
    assert time.process_time() - started < 2


def test_weights_that_are_no_numbers_with_a_point_are_refused(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    save_file({**weights, "logit_scale": torch.tensor(3)}, folder / "model.safetensors")
    with pytest.raises(CocaSearchError, match=r"logit_scale is stored as I64: weights must be floating-point"):
        read_model_folder(folder).load_model()
