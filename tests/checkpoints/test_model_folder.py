"""A model folder gives back the model that was put in, and says what is wrong with a damaged one."""

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from cocasearch.checkpoints.model_folder import read_model_folder, save_model_folder
from cocasearch.checkpoints.weights_file import open_weights
from cocasearch.errors import CocaSearchError, CocaSearchWarning
from cocasearch.images.transforms import PreprocessConfig
from cocasearch.inference.loaded_model import load_model
from cocasearch.model.coca import CoCa
from cocasearch.model.config import CoCaConfig, MultimodalConfig, PoolerConfig, TextConfig, VisionTransformerConfig
from cocasearch.text.known_words import KnownWords
from cocasearch.text.tokenizer import Tokenizer, train_tokenizer

Save = Callable[..., str]
TOKENIZER = train_tokenizer(["a red square on a wall.", "two dogs."] * 3, 280)
CONFIG = CoCaConfig(
    embed_dim=12,
    image=VisionTransformerConfig(image_size=16, patch_size=8, layers=1, width=16, head_width=8),
    pooler=PoolerConfig(kind="cascade", queries=3, heads=2),
    text=TextConfig(context_length=10, vocab_size=TOKENIZER.vocab_size, width=16, heads=2, layers=1),
    multimodal=MultimodalConfig(layers=1, heads=2),
)
PREPROCESS = PreprocessConfig(image_size=16, resize_mode="squash")


@pytest.fixture
def model() -> CoCa:
    torch.manual_seed(0)
    return CoCa(CONFIG).eval().requires_grad_(False)


@pytest.fixture
def save(tmp_path: Path, model: CoCa) -> Save:
    def save(to: Path = tmp_path / "m", **changes: object) -> str:
        settings = {
            "config": CONFIG,
            "preprocess": PREPROCESS,
            "tokenizer": TOKENIZER,
            "provenance": {"from": "a test"},
        }
        return save_model_folder(to, model.state_dict(), **{**settings, **changes})  # type: ignore[arg-type]

    return save


def test_saved_equals_loaded(save: Save, model: CoCa, tmp_path: Path) -> None:
    fingerprint = save(dtype="float32")
    stored = read_model_folder(tmp_path / "m").load_model().state_dict()
    assert stored.keys() == model.state_dict().keys()
    assert all(torch.equal(value, stored[name]) for name, value in model.state_dict().items())
    loaded = load_model(tmp_path / "m", device="cpu")
    pixels, ids = torch.randn(2, 3, 16, 16), TOKENIZER(["two red dogs", "a wall"], 10)
    before, after = model(pixels, ids), loaded.model(pixels, ids)
    torch.testing.assert_close(before.image_embedding, after.image_embedding, atol=1e-6, rtol=0)
    torch.testing.assert_close(before.text_embedding, after.text_embedding, atol=1e-6, rtol=0)
    torch.testing.assert_close(before.caption_logits, after.caption_logits, atol=1e-5, rtol=0)
    assert (loaded.config, loaded.preprocess.config, loaded.fingerprint) == (CONFIG, PREPROCESS, fingerprint)
    assert loaded.tokenizer.to_json() == TOKENIZER.to_json()
    assert read_model_folder(tmp_path / "m").provenance == {"from": "a test"}


def test_a_tower_that_was_not_loaded_costs_nothing_and_says_so(save: Save, model: CoCa, tmp_path: Path) -> None:
    save(dtype="float32")
    ids, pixels = TOKENIZER(["two red dogs", "a wall"], 10), torch.randn(2, 3, 16, 16)
    text, image = (load_model(tmp_path / "m", device="cpu", towers=(tower,)).model for tower in ("text", "image"))
    torch.testing.assert_close(text.encode_text(ids), model.encode_text(ids), atol=1e-6, rtol=0)
    torch.testing.assert_close(image.encode_image(pixels), model.encode_image(pixels), atol=1e-6, rtol=0)
    assert {name.split(".")[0] for name in text.state_dict()} == {"text_decoder", "logit_scale"}
    with pytest.raises(CocaSearchError, match="without its image tower"):
        text.encode_image(pixels)
    with pytest.raises(CocaSearchError, match="without its text tower"):
        image.encode_text(ids)
    with pytest.raises(CocaSearchError, match="no tower 'sound'"):
        load_model(tmp_path / "m", towers=("sound",))  # type: ignore[arg-type]


def test_half_precision_is_within_its_rounding(save: Save, model: CoCa, tmp_path: Path) -> None:
    save()
    pixels = torch.randn(2, 3, 16, 16)
    loaded = load_model(tmp_path / "m", device="cpu")
    assert loaded.model.logit_scale.dtype == torch.float32
    torch.testing.assert_close(loaded.model.encode_image(pixels), model.encode_image(pixels), atol=5e-3, rtol=0)


def test_the_fingerprint_names_all_that_changes_a_vector(save: Save, model: CoCa) -> None:
    first = save()
    assert save(provenance={}) == first
    others = {save(preprocess=PreprocessConfig(image_size=16)), save(tokenizer=train_tokenizer(["cats"] * 9, 280))}
    model.image_projection.weight[0, 0] += 1
    assert len({first, save(), *others}) == 4


def test_known_words_are_kept_beside_the_model_and_are_no_part_of_it(save: Save, tmp_path: Path) -> None:
    first = save()
    assert read_model_folder(tmp_path / "m").read_words() is None
    words = KnownWords({"dog": 3, "caf\u00e9": 1})
    assert save(words=words) == first
    assert read_model_folder(tmp_path / "m").read_words() == words
    assert (tmp_path / "m" / "words.tsv").read_text(encoding="utf-8") == "word\tcount\ndog\t3\ncaf\u00e9\t1\n"
    assert save() == first  # a folder with known words is replaced as any other
    assert read_model_folder(tmp_path / "m").read_words() is None


def test_damaged_known_words_stop_nobody_who_trains_or_mixes(save: Save, tmp_path: Path) -> None:
    save(words=KnownWords({"dog": 3}))
    (tmp_path / "m" / "words.tsv").write_text("dog\n")
    with pytest.warns(CocaSearchWarning, match=r"words\.tsv is no table .*, so models made from this one do not say"):
        assert read_model_folder(tmp_path / "m").read_words() is None


def test_a_folder_can_be_read_by_others_and_leaves_nothing_beside_it(save: Save, tmp_path: Path) -> None:
    save()
    save()  # replaces
    assert [file.name for file in tmp_path.iterdir()] == ["m"]
    assert all(file.stat().st_mode & stat.S_IROTH for file in (tmp_path / "m").iterdir())


def left_behind(folder: Path, *, hours_ago: float) -> Path:
    """What a writer leaves that was killed then."""
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"half")
    for file in (folder / "model.safetensors", folder):
        os.utime(file, (time.time() - hours_ago * 3600,) * 2)
    return folder


def test_what_killed_writers_left_goes_and_what_may_be_needed_stays(save: Save, tmp_path: Path) -> None:
    old = left_behind(tmp_path / ".m.x1y2abcd", hours_ago=2)
    young = left_behind(tmp_path / ".m.x3y4abcd", hours_ago=0.5)  # may still be written
    replaced = left_behind(tmp_path / ".m.old.z5y6x7w8", hours_ago=2)  # all that is left of the model
    other = left_behind(tmp_path / ".n.x1y2abcd", hours_ago=2)
    dotted = left_behind(tmp_path / ".m.v2.x1y2abcd", hours_ago=2)  # of another model, m.v2
    save()
    assert [folder.exists() for folder in (old, young, replaced, other, dotted)] == [False, True, True, True, True]
    save()
    assert [folder.exists() for folder in (old, young, replaced, other, dotted)] == [False, True, False, True, True]


def test_a_folder_that_is_no_model_is_not_replaced(save: Save, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "holiday.jpg").write_bytes(b"precious")
    with pytest.raises(CocaSearchError, match="is there already and is no model folder, so it is not replaced"):
        save()
    assert (tmp_path / "m" / "holiday.jpg").read_bytes() == b"precious"
    assert [entry.name for entry in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize(("home", "hint"), [(".", "COCASEARCH_HOME=FOLDER"), ("other", "--out NEW_FOLDER")])
def test_a_place_that_cannot_be_written_is_named(
    save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str, hint: str
) -> None:
    monkeypatch.setenv("COCASEARCH_HOME", str(tmp_path / home))
    (tmp_path / "models").write_text("a file where a folder should be")
    with pytest.raises(CocaSearchError, match=r"models/m cannot be written: (file exists|not a directory)") as caught:
        save(to=tmp_path / "models" / "m")
    assert hint in str(caught.value.hint)


def test_what_is_missing_is_named(save: Save, tmp_path: Path) -> None:
    save()
    (tmp_path / "m" / "tokenizer.json").unlink()
    with pytest.raises(CocaSearchError, match=r"m is not a model folder: it has no tokenizer\.json"):
        read_model_folder(tmp_path / "m")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda config: config["architecture"].update(embed_dims=3), "unknown config key 'embed_dims'.*'embed_dim'"),
        (lambda config: config["preprocessing"].update(sizes=3), "unknown config key 'sizes'"),
        (lambda config: config.update(format=99), "has model format 99; this version reads 1"),
        (lambda config: config.pop("fingerprint"), "is not a model config: it lacks 'fingerprint'"),
    ],
    ids=["architecture", "preprocessing", "format", "fingerprint"],
)
def test_a_config_that_is_none_is_named(save: Save, tmp_path: Path, damage: Callable, sentence: str) -> None:
    save()
    file = tmp_path / "m" / "config.json"
    config = json.loads(file.read_text())
    damage(config)
    file.write_text(json.dumps(config))
    with pytest.raises(CocaSearchError, match=sentence):
        read_model_folder(tmp_path / "m")


def test_the_tokenizer_of_another_model_is_named(
    save: Save, tmp_path: Path, tiny_tokenizer: Tokenizer, roberta_tokenizer_file: Path
) -> None:
    save(tokenizer=tiny_tokenizer)
    with pytest.raises(CocaSearchError, match=r"tokenizer\.json has 320 tokens, of which the model knows 280"):
        read_model_folder(tmp_path / "m")
    save(tokenizer=Tokenizer.load(roberta_tokenizer_file), config=replace(CONFIG, text=TextConfig()))
    with pytest.raises(CocaSearchError, match="pads with token 1, the model with 0"):
        read_model_folder(tmp_path / "m")


def test_damaged_and_foreign_weights_are_named(save: Save, tmp_path: Path) -> None:
    save()
    file = tmp_path / "m" / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CocaSearchError, match="cannot read the weights"):
        load_model(tmp_path / "m")
    file.write_bytes(whole)
    weights = load_file(file)
    for changed, sentence in (
        ({k: v for k, v in weights.items() if k != "logit_scale"}, "logit_scale is missing"),
        ({**weights, "extra": torch.zeros(1)}, "extra is not part of it"),
        ({**weights, "image_projection.weight": torch.zeros(2, 2)}, r"is \(2, 2\), not \(12, 12\)"),
    ):
        save_file({key: value.contiguous() for key, value in changed.items()}, file)
        with pytest.raises(CocaSearchError, match=sentence):
            load_model(tmp_path / "m")


def test_loading_imports_neither_the_compiler_nor_its_algebra(save: Save, tmp_path: Path) -> None:
    save()
    load = f"import sys, cocasearch; cocasearch.load_model({str(tmp_path / 'm')!r})"
    told = "print({'torch._dynamo', 'sympy'} & sys.modules.keys())"
    assert subprocess.run([sys.executable, "-c", f"{load}; {told}"], capture_output=True, text=True).stdout == "set()\n"


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_copied_weights_are_the_mapped_ones(save: Save, model: CoCa, tmp_path: Path, dtype: str) -> None:
    save(dtype=dtype)
    with open_weights(tmp_path / "m" / "model.safetensors") as mapped:
        expected = {name: mapped.read(name) for name in mapped.shapes}
    with open_weights(tmp_path / "m" / "model.safetensors", mapped=False) as copied:
        assert all(torch.equal(copied.read(name), value) for name, value in expected.items())
        assert all(copied.read(name).dtype == value.dtype == getattr(torch, dtype) for name, value in expected.items())
    assert expected.keys() == model.state_dict().keys()
