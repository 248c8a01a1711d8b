"""The same captioned photos in every layout are the same to `eval` and to `train`."""

import io
import json
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from cocasearch.checkpoints.model_folder import read_model_folder

Photos = dict[str, list[str]]
RUN = ("--model", "tiny", "--set", "epochs=1", "--set", "batch_size=4", "--set", "held_out=0")


def as_csv(folder: Path, photos: Photos) -> str:
    rows = [f"{name},{text}" for name, texts in photos.items() for text in texts]
    (folder / "data.csv").write_text("\n".join(["filepath,title", *rows]))
    return "data.csv"


def as_jsonl(folder: Path, photos: Photos) -> str:
    (folder / "data.jsonl").write_text("\n".join(json.dumps({"image": n, "caption": t}) for n, t in photos.items()))
    return "data.jsonl"


def as_parquet(folder: Path, photos: Photos) -> str:
    content = [(folder / name).read_bytes() for name in photos]
    pq.write_table(pa.table({"image": content, "caption": list(photos.values())}), folder / "data.parquet")
    return "data.parquet"


def as_sidecars(folder: Path, photos: Photos) -> str:
    for name, (first, *others) in photos.items():
        (folder / name).with_suffix(".txt").write_text(first)
        (folder / name).with_suffix(".caption").write_text("\n".join(others))
    return "."


def as_shards(folder: Path, photos: Photos) -> str:
    for number, part in enumerate((list(photos)[:5], list(photos)[5:])):
        with tarfile.open(folder / f"{number:02}.tar", "w") as shard:
            for name in part:
                texts = "\n".join(photos[name]).encode()
                for member, content in ((name, (folder / name).read_bytes()), (f"{Path(name).stem}.txt", texts)):
                    info = tarfile.TarInfo(member)
                    info.size = len(content)
                    shard.addfile(info, io.BytesIO(content))
    return "{00..01}.tar"


def as_coco(folder: Path, photos: Photos) -> str:
    images = [{"id": number, "file_name": name} for number, name in enumerate(photos)]
    notes = [{"image_id": number, "caption": text} for number, name in enumerate(photos) for text in photos[name]]
    (folder / "captions.json").write_text(json.dumps({"images": images, "annotations": notes}))
    return "captions.json"


def as_tokens(folder: Path, photos: Photos) -> str:
    lines = [f"{name}#{number}\t{text}" for name, texts in photos.items() for number, text in enumerate(texts)]
    (folder / "token.txt").write_text("\n".join(lines))
    return "token.txt"


Layout = Callable[[Path, Photos], str]
LAYOUTS: tuple[Layout, ...] = (as_jsonl, as_parquet, as_sidecars, as_shards, as_coco, as_tokens)


@pytest.fixture
def photos(prompt, monkeypatch) -> Photos:
    """Ten photos in a working folder of their own, two captions each."""
    folder = prompt.folder / "collection"
    folder.mkdir()
    monkeypatch.chdir(folder)
    names = [f"photo{number}.png" for number in range(10)]
    for number, name in enumerate(names):
        colours = random.Random(number).randbytes(6 * 4 * 3)
        Image.frombytes("RGB", (6, 4), colours).resize((96, 64), Image.Resampling.NEAREST).save(folder / name)
    return {name: [f"a red {number}", f"the blue {number}"] for number, name in enumerate(names)}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_measured_alike(prompt, photos: Photos, layout: Layout) -> None:
    reports = []
    for write in (as_csv, layout):
        result = prompt("eval", write(Path.cwd(), photos), "--model", "tiny", "--json", "--no-captions")
        assert result.exit_code == 0, result.stderr
        reports.append(json.loads(result.stdout))
    assert reports[0] == reports[1]
    assert (reports[0]["n_images"], reports[0]["n_texts"]) == (10, 20)


@pytest.mark.parametrize("layout", [as_shards, as_sidecars, as_coco])
def test_every_layout_trains_to_the_same_weights(prompt, photos: Photos, layout: Layout) -> None:
    for out, write in (("one", as_csv), ("other", layout)):
        result = prompt("train", write(Path.cwd(), photos), "--out", out, *RUN)
        assert result.exit_code == 0, result.stderr
    assert read_model_folder(Path("one")).fingerprint == read_model_folder(Path("other")).fingerprint


def test_resampling_trains_to_other_weights(prompt, photos: Photos) -> None:
    source = as_csv(Path.cwd(), photos)
    for out, setting in (("one", "resampled=false"), ("other", "resampled=true")):
        assert prompt("train", source, "--out", out, *RUN, "--set", setting).exit_code == 0
    assert read_model_folder(Path("one")).fingerprint != read_model_folder(Path("other")).fingerprint
