"""Damaged copies of the files that are read here, seeded: what disks, broken downloads and ill will make of them."""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cocasearch.checkpoints.confidence_file import ConfidenceModel, read_confidence, write_confidence
from cocasearch.checkpoints.foreign.foreign_weights import read_foreign_weights
from cocasearch.checkpoints.foreign.openclip_configs import read_architecture, read_text_config
from cocasearch.checkpoints.model_folder import read_model_folder
from cocasearch.errors import CocaSearchError
from cocasearch.images.transforms import Preprocess
from cocasearch.indexing.edit.review_file import PhotoKey, Reviewed, read_corrections, write_review
from cocasearch.indexing.scan.hashing import Hashes
from cocasearch.indexing.scan.known_files import Counts, KnownFiles, _write, recall_known_files
from cocasearch.indexing.store.manifest import Manifest, Root, find_manifest, write_manifest
from cocasearch.indexing.store.unreadable_files import UnreadableFile, UnreadableFiles
from cocasearch.inference.caption_files.caption_sinks import CaptionFile, CaptionRecord
from cocasearch.text.known_words import KnownWords
from cocasearch.training.config import TrainingConfig
from cocasearch.training.data.class_names import ClassNames
from cocasearch.training.data.frozen_features import FeatureFile
from cocasearch.training.run_folder.curves import draw_curves
from cocasearch.training.run_folder.run_checkpoint import RunCheckpoint
from cocasearch.training.run_folder.run_log import RunLog

LONGEST = 300  # characters of a sentence, but for the path in it

_ODD_VALUES: list[Any] = [
    None, True, -1, 0, 2**63, 10**300, 1e308, 0.5, "", "x" * 5_000, "\ud800", "../../x", [], {}, [[]], [None], {"x": 1},
]  # fmt: skip
_ODD_JSON = ["NaN", "-Infinity", "1e999", "9" * 5_000, "[" * 100_000, '{"a":' * 100_000, "[" * 900 + "]" * 900]
_MARK = "<the value that is replaced>"


@dataclass(frozen=True)
class Kind:
    """A kind of file: how a sound one comes about in a folder, which file it is, and how the folder is read."""

    name: str
    make: Callable[[Path], None]
    file: str
    read: Callable[[Path], object]


def refused(kind: Kind, folder: Path, count: int, seed: int) -> Iterator[str]:
    """The sentences in which damaged copies are refused; any other exception is the caller's."""
    kind.make(folder)
    kind.read(folder)  # what is whole is read
    file = folder / kind.file
    for content in damaged_copies(file.read_bytes(), count, seed):
        file.write_bytes(content)
        try:
            kind.read(folder)
        except CocaSearchError as error:
            yield str(error).replace(str(folder), "")


def damaged_copies(whole: bytes, count: int, seed: int) -> Iterator[bytes]:
    """An empty copy, and ones with bytes changed, cut off or put in, or, where it is JSON, with other values in it."""
    dice = random.Random(seed)
    yield b""
    damages: list[Callable[[bytes, random.Random], bytes]] = [_cut, _change, _insert]
    with suppress(ValueError):
        _documents(whole)
        damages += [_other_value, _other_value, _other_value]
    for _ in range(count - 1):
        yield dice.choice(damages)(whole, dice)


def _cut(whole: bytes, dice: random.Random) -> bytes:
    return whole[: dice.randrange(len(whole))]


def _change(whole: bytes, dice: random.Random) -> bytes:
    content = bytearray(whole)
    for _ in range(dice.randrange(1, 20)):
        content[dice.randrange(len(content))] = dice.choice((0, 9, 10, 34, 92, 127, 255, dice.randrange(256)))
    return bytes(content)


def _insert(whole: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(whole))
    return whole[:at] + dice.choice((dice.randbytes(50), b"9" * 5_000, b"[" * 50_000, b"\n", b"\t", b",")) + whole[at:]


def _other_value(whole: bytes, dice: random.Random) -> bytes:
    """A document, or one line of several, with one value in it replaced, or all of it."""
    documents = _documents(whole)
    at = dice.randrange(len(documents))
    documents[at] = _marked(documents[at], dice)
    value = dice.choice([json.dumps(value) for value in _ODD_VALUES] + _ODD_JSON)
    return "\n".join(json.dumps(document) for document in documents).replace(json.dumps(_MARK), value).encode()


def _documents(whole: bytes) -> list[Any]:
    with suppress(ValueError):
        return [json.loads(whole)]
    return [json.loads(line) for line in whole.decode().splitlines() if line]


def _marked(value: Any, dice: random.Random) -> Any:
    if not isinstance(value, dict | list) or not value or dice.random() < 0.1:
        return _MARK
    changed: Any = dict(value) if isinstance(value, dict) else list(value)
    key = dice.choice(list(value) if isinstance(value, dict) else range(len(value)))
    changed[key] = _marked(value[key], dice)
    return changed


def of_model_folders(sound: Path) -> list[Kind]:
    """The files of a model folder and of those that are imported, from a sound folder of a model."""

    def copy(folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        for file in sound.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        stored = read_model_folder(folder)
        three = (0.1, 1.0, 2.0)
        fit = ConfidenceModel(0.1, three, three, three, {"seed": None}, stored.fingerprint, 7, "d", ())
        write_confidence(folder, fit)
        KnownWords({"dog": 7, "cat": 3}).write(folder / "words.tsv")

    def use(folder: Path) -> None:
        stored = read_model_folder(folder)
        pixels = Preprocess(stored.preprocess)
        ids = stored.tokenizer(["a dog, (it's 10 o'clock)", ""], stored.config.text.context_length)
        stored.tokenizer.decode(ids[0].tolist())
        assert pixels.config and stored.load_model()

    def convert(folder: Path, *, zipped: bool) -> None:
        weights = read_model_folder(sound).load_model().state_dict()
        folder.mkdir(exist_ok=True)
        some = {name: weights[name] for name in list(weights)[:6]}
        torch.save(some, folder / "weights.pt", _use_new_zipfile_serialization=zipped)

    openclip = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "patch_size": 8, "head_width": 16},
        "text_cfg": {"embed_cls": True, "context_length": 20, "vocab_size": 300, "width": 32, "heads": 2, "layers": 2},
        "multimodal_cfg": {"width": 32, "heads": 2, "layers": 2},
    }
    roberta = {"model_type": "roberta", "hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2}
    roberta |= {"intermediate_size": 64, "max_position_embeddings": 90, "layer_norm_eps": 1e-5, "pad_token_id": 1}
    roberta |= {"vocab_size": 300}
    fingerprint = read_model_folder(sound).fingerprint
    return [
        Kind("config", copy, "config.json", use),
        Kind("tokenizer", copy, "tokenizer.json", use),
        Kind("weights", copy, "model.safetensors", use),
        Kind("words", copy, "words.tsv", lambda folder: KnownWords.read(folder / "words.tsv")),
        Kind("confidence", copy, "confidence.json", lambda folder: read_confidence(folder, fingerprint)),
        Kind(
            "openclip",
            _writing("arch.json", json.dumps(openclip)),
            "arch.json",
            lambda folder: read_architecture(str(folder / "arch.json")),
        ),
        Kind(
            "roberta",
            _writing("config.json", json.dumps(roberta)),
            "config.json",
            lambda folder: read_text_config(folder / "config.json"),
        ),
        Kind(
            "zipped weights",
            lambda folder: convert(folder, zipped=True),
            "weights.pt",
            lambda folder: read_foreign_weights(folder / "weights.pt"),
        ),
        Kind(
            "pickled weights",
            lambda folder: convert(folder, zipped=False),
            "weights.pt",
            lambda folder: read_foreign_weights(folder / "weights.pt"),
        ),
    ]


def _writing(name: str, text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")

    return write


def _manifest(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    root = Root("r", "/photos", "../photos")
    settings: tuple[dict[str, Any], ...] = ({"strategy": "beam"},)
    manifest = Manifest("images", "tiny", "0123", 16, (root,), ("*.png",), ("/photos/a.jpg",), settings)
    write_manifest(manifest, folder / "manifest.json")


def _unreadable(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    unreadable = UnreadableFiles(folder)
    unreadable.add(UnreadableFile("r", "a.jpg", "12 x 9 pixels are more than 1", 3, 2**60))
    unreadable.add(UnreadableFile("r", "b.heic", "needs an extra", 3, 2**60, "extra", "heif"))
    unreadable.save()


def _known_files(folder: Path) -> None:
    (folder / "snapshot").mkdir(parents=True, exist_ok=True)
    stamps = {("r", "in"): json.dumps({"a.jpg": [3, 2**60], "b.jpg": [4, 2**60, 1]}), ("r", ""): '{"c.jpg": [1, 2]}'}
    _write(KnownFiles(stamps, Counts(3, 1, 1)), folder / "snapshot" / "files-images-v3.jsonl")


def _captions(name: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        sink = CaptionFile(folder / name, overwrite=True)
        for number in range(3):
            sink.add(CaptionRecord(f"/photos/{number}.jpg", "a dog", 0.25, -1.5, "tiny@0123", "{}", 0.5))
        if not name.endswith("partial"):
            sink.finish()

    return write


def _review(name: str) -> Callable[[Path], None]:
    rows = [Reviewed(f"/photos/{n}.jpg", "a dog", 0.5, PhotoKey.of(f"{n:016x}", "1" * 32, "a dog")) for n in range(3)]

    def write(folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        write_review(rows, folder / name)

    return write


def _checkpoint(folder: Path) -> None:
    run = RunCheckpoint(folder)
    run.begin()
    run.save({"step": 3, "weights": {"a": torch.zeros(3)}}, _IDENTITY, may_change=["epochs"])


_IDENTITY = {"config": TrainingConfig().identity(), "architecture": {}, "pictures": [4], "weights": [1.0]}


def _read_log(folder: Path) -> None:
    draw_curves(folder / "log.jsonl", folder / "curves.png")
    RunLog(folder / "log.jsonl").keep_until(2)


def _features(folder: Path) -> FeatureFile:
    return FeatureFile(folder, {"model": "0123", "size": 32})


def _fill(folder: Path) -> None:
    def batches(missing: Sequence[int]) -> Iterator[tuple[list[int], list[torch.Tensor | str]]]:
        yield list(missing), [torch.zeros(3, 2, 2) if number else "truncated" for number in missing]

    _features(folder).fill([1, 2, 3], batches, lambda pixels: pixels.half(), lambda done, total: None)
    (about,) = folder.glob("*/features.json")
    about.rename(folder / "features.json")


def _open_features(folder: Path) -> None:
    (kept,) = (path for path in folder.iterdir() if path.is_dir())
    (kept / "features.json").write_bytes((folder / "features.json").read_bytes())
    _features(folder).open()


_LOG = [
    {
        "step": step,
        "contrastive_loss": 2.5 / step,
        "caption_loss": 3.5,
        "validation": {way: {"recall@1": 0.25, "recall@10": 0.5} for way in ("text_to_image", "image_to_text")},
    }
    for step in range(1, 4)
]
_CLASSES = "wnid\tname\tsynonyms\thypernyms\nn01\tdog\thound\tanimal, mammal\nn02\tcat\t\tanimal\n"

OF_INDEXES_AND_RUNS = [
    Kind("manifest", _manifest, "manifest.json", lambda folder: find_manifest(folder / "manifest.json")),
    Kind("unreadable files", _unreadable, "unreadable.json", lambda folder: UnreadableFiles(folder).file_stats()),
    Kind(
        "known files",
        _known_files,
        "snapshot/files-images-v3.jsonl",
        lambda folder: recall_known_files(folder, "images").as_dict(),
    ),
    Kind(
        "hashes",
        _writing("hashes.jsonl", '["/photos/a.jpg", 3, 4, "00ff"]\n["/photos/b.jpg", 3, 4, "00ff"]\n'),
        "hashes.jsonl",
        lambda folder: Hashes(folder, keep=False),
    ),
    *(
        Kind(f"captions {name}", _captions(name), name, lambda folder, name=name: CaptionFile(folder / name))
        for name in ("captions.csv", "captions.jsonl", "captions.parquet")
    ),
    Kind(
        "stopped captions",
        lambda folder: (_captions("a.csv")(folder), (folder / "a.csv").rename(folder / "a.csv.partial")),
        "a.csv.partial",
        lambda folder: CaptionFile(folder / "a.csv"),
    ),
    *(
        Kind(f"review {name}", _review(name), name, lambda folder, name=name: read_corrections(folder / name))
        for name in ("review.csv", "review.tsv", "review.jsonl")
    ),
    Kind(
        "run checkpoint",
        _checkpoint,
        "checkpoint.pt",
        lambda folder: RunCheckpoint(folder).load(_IDENTITY, torch.device("cpu")),
    ),
    Kind("run log", _writing("log.jsonl", "".join(json.dumps(row) + "\n" for row in _LOG)), "log.jsonl", _read_log),
    Kind("features", _fill, "features.json", _open_features),
    Kind(
        "class names",
        _writing("names.tsv", _CLASSES),
        "names.tsv",
        lambda folder: ClassNames.read(folder / "names.tsv"),
    ),
]
