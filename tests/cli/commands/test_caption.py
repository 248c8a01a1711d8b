import csv
import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from cocasearch.inference.caption_files.file_captioner import joined
from cocasearch.inference.describer import ImageDescriber

READABLE = ["blue-circle.png", "red-square.jpg", "sub/yellow-triangle.jpg", "turned.jpg"]


def read(file):
    if file.suffix == ".parquet":
        return pq.read_table(file).to_pylist()
    text = file.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n")[:-1]] if file.suffix == ".jsonl" else list(read_csv(file))


def read_csv(file):
    with file.open(encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines)


@pytest.mark.parametrize("name", ["captions.parquet", "captions.csv", "captions.jsonl"])
def test_caption_file_has_a_row_for_each_photo(prompt, name):
    result = prompt("caption", "photos", "--model", "tiny", "--out", name, "--max-length", "8")
    assert result.exit_code == 0
    assert result.stdout == ""
    rows = read(prompt.folder / name)
    assert [row["path"] for row in rows] == [str(prompt.folder / "photos" / path) for path in READABLE]
    assert {row["model"].split("@")[0] for row in rows} == {"tiny"}
    assert json.loads(rows[0]["decoding"])["max_length"] == 8
    assert -1 <= float(rows[0]["caption_score"]) <= 1
    assert "4 captioned, 1 unreadable" in result.stderr
    assert not list(prompt.folder.glob(".*"))


@pytest.mark.parametrize("layout", ["table", "json", "csv"])
def test_nothing_is_printed_where_no_photo_can_be_read(prompt, layout):
    result = prompt("caption", "photos/truncated.jpg", "--model", "tiny", "-f", layout)
    assert (result.exit_code, result.stdout) == (3, "")


def test_no_file_is_written_where_no_photo_can_be_read(prompt):
    result = prompt("caption", "photos/truncated.jpg", "--model", "tiny", "--out", "captions.csv")
    assert result.exit_code == 3
    assert "none of the photos could be read" in result.stderr
    assert not (prompt.folder / "captions.csv").exists()


def test_a_finished_file_is_added_to_and_replaced_only_when_told(prompt):
    command = ("caption", "photos", "--model", "tiny", "--out", "captions.csv")
    assert prompt("caption", "photos/sub", *command[2:]).exit_code == 0
    assert "3 captioned, 1 captioned before" in prompt(*command).stderr
    assert len(read(prompt.folder / "captions.csv")) == 4
    other = prompt(*command, "--max-length", "8")
    assert other.exit_code == 1
    assert "captions.csv holds captions by another model or with other options" in other.stderr
    assert "--overwrite" in other.stderr
    assert "4 captioned" in prompt(*command, "--max-length", "8", "--overwrite").stderr


def test_a_stopped_run_goes_on_where_it_was(prompt, monkeypatch):
    command = ("caption", "photos", "--model", "tiny", "--out", "captions.csv", "--batch-size", "1")
    from cocasearch.inference.caption_files.caption_sinks import CaptionFile

    keep = CaptionFile.add

    def keep_two(self, record):
        if len(self._records) == 2:
            raise KeyboardInterrupt
        keep(self, record)

    with monkeypatch.context() as patch:
        patch.setattr(CaptionFile, "add", keep_two)
        assert prompt(*command).exit_code == 130
    result = prompt(*command)
    assert "2 captioned, 2 captioned before" in result.stderr
    assert len(read(prompt.folder / "captions.csv")) == 4


def test_sidecars_lie_beside_their_photos_and_those_of_people_stay(prompt):
    photos = prompt.folder / "photos"
    (photos / "turned.txt").write_text("mine")
    (photos / "red-square.txt").write_text(" \n")  # no caption
    command = ("caption", "photos", "--model", "tiny", "--sidecar")
    result = prompt(*command)
    assert "3 captioned, 1 captioned before, 1 unreadable" in result.stderr
    assert (photos / "sub" / "yellow-triangle.txt").is_file()
    assert (photos / "red-square.txt").read_text().strip()
    result = prompt(*command, "--overwrite")
    assert "3 captioned, 1 captioned before, 1 unreadable" in result.stderr
    assert "1 caption is by a person or of unknown origin, and stayed" in result.stderr
    assert (photos / "turned.txt").read_text() == "mine"
    result = prompt(*command, "--overwrite", "all")
    assert "4 captioned, 1 unreadable" in result.stderr
    assert "1 caption of a person was replaced; a copy is beside each: " in result.stderr
    assert (photos / "turned.txt").read_text() != "mine" == (photos / "turned.txt.bak").read_text()


def test_photos_of_one_stem_have_a_sidecar_each_and_are_read_with_it(prompt):
    photos = prompt.folder / "photos"
    for name in ("IMG_1.jpg", "IMG_1.png"):
        (photos / name).write_bytes((photos / "turned.jpg").read_bytes())
    (photos / "truncated.jpg").unlink()
    (photos / "IMG_1.txt").write_text("whose is this?")
    assert "IMG_1.txt: it may be of IMG_1.jpg or IMG_1.png" in prompt("data", "check", "photos", "-f", "csv").stderr
    result = prompt("caption", "photos", "--model", "tiny", "--sidecar")
    assert "6 captioned" in result.stderr
    assert "IMG_1.txt could belong to several photos, so it is read for none of them" in result.stderr
    assert (photos / "IMG_1.jpg.txt").is_file() and (photos / "IMG_1.png.txt").is_file()
    again = prompt("caption", "photos", "--model", "tiny", "--sidecar", "--prefix", "ohwx, ").stderr
    assert (
        "6 captioned before" in again and "existing captions stay; to rewrite those by cocasearch: --overwrite" in again
    )
    assert prompt("data", "sidecars", "photos", "--out", "photos/all.csv").exit_code == 0
    assert {row["filepath"] for row in read(photos / "all.csv")} == {"IMG_1.jpg", "IMG_1.png", *READABLE}
    refused = prompt("data", "sidecars", "photos", "--out", "photos/all.csv")
    assert refused.exit_code == 1 and "all.csv exists already" in refused.stderr
    refused = prompt("data", "sidecars", "photos", "--out", "photos/all.parquet")
    assert refused.exit_code == 1 and "--out photos/all.csv" in refused.stderr


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        ("ohwx,", "a cat.", "ohwx, a cat."),
        ("a cat.", ", on film", "a cat, on film"),
        ("a cat.", "On film.", "a cat. On film."),
        ("a cat", ", on film", "a cat, on film"),
        ("a cat.", "", "a cat."),
    ],
)
def test_pieces_of_a_caption_make_one_sentence(first, second, both):
    assert joined(first, second) == both


def test_words_of_ones_own_stand_around_captions(prompt):
    command = ("caption", "photos/turned.jpg", "--model", "tiny", "-f", "json")
    (plain,) = json.loads(prompt(*command).stdout)
    (around,) = json.loads(prompt(*command, "--prefix", "ohwx,", "--suffix", ", on film").stdout)
    assert around["caption"] == f"ohwx, {plain['caption']}, on film"
    assert around["caption_logprob"] == plain["caption_logprob"]
    assert json.loads(around["decoding"]).items() >= {"prefix": "ohwx,", "suffix": ", on film"}.items()
    assert prompt(*command, "--prefix", "two\nlines").exit_code == 2


@pytest.mark.parametrize("name", ["metadata.parquet", "metadata.csv", "metadata.jsonl"])
def test_metadata_is_laid_out_as_an_image_folder(prompt, name):
    file = prompt.folder / "photos" / name
    command = ("caption", "photos", "--model", "tiny", "--out", f"photos/{name}")
    assert prompt("caption", "photos/sub", *command[2:]).exit_code == 0
    assert "3 captioned, 1 captioned before" in prompt(*command).stderr
    rows = read(file)
    assert [row["file_name"] for row in rows] == READABLE and all(row["text"] for row in rows)
    from cocasearch.captioned_data import read_captioned_data

    assert [image.image for image in read_captioned_data(file)] == [
        prompt.folder / "photos" / path for path in READABLE
    ]
    refused = prompt(*command[:-1], name.replace("metadata", "x"), "--layout", "imagefolder")
    assert refused.exit_code == 0  # the folder above holds them too
    refused = prompt(*command[:-1], f"photos/sub/{name}")
    assert refused.exit_code == 1 and "where blue-circle.png does not lie" in refused.stderr


def test_only_photos_without_a_caption_beside_them_are_captioned(prompt):
    (prompt.folder / "photos" / "turned.caption").write_text("mine")
    command = ("caption", "photos", "--model", "tiny", "--only-empty")
    result = prompt(*command, "-f", "jsonl")
    assert "1 photo has a caption" in result.stderr
    assert not any("turned" in line for line in result.stdout.splitlines()) and "3 captioned" in result.stderr
    assert prompt(*command, "--overwrite", "--sidecar").exit_code == 2
    assert "4 captioned" in prompt("caption", "photos", "--model", "tiny", "--sidecar", "--overwrite", "all").stderr
    result = prompt(*command, "--sidecar")
    assert result.exit_code == 3 and "none of the photos without a caption could be read" in result.stderr


def test_captions_that_are_less_sure_are_written_anew(prompt, doubting):
    command = ("caption", "photos", "--model", "tiny", "--out", "captions.csv")
    assert prompt(*command).exit_code == 0
    result = prompt(*command, "--below", "0.5", "--max-length", "8")
    assert "2 captioned, 2 captioned before, 1 unreadable" in result.stderr
    lengths = [json.loads(row["decoding"])["max_length"] for row in read(prompt.folder / "captions.csv")]
    assert lengths == [30, 8, 8, 30]
    command = (*command[:4], "--sidecar")
    assert prompt(*command).exit_code == 0
    assert "2 captioned, 2 captioned before" in prompt(*command, "--below", "0.5").stderr
    assert prompt("index", "photos", "--model", "tiny").exit_code == 0
    assert "2 captioned, 2 captioned before" in prompt("caption", "--index", "default", "--below", "0.5").stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--temperature 0.5", "--temperature has no effect with --strategy beam"),
        ("--num-beams 3 --strategy sample", "--num-beams has no effect with --strategy sample"),
        ("--seed 3 --strategy greedy", "--seed has no effect with --strategy greedy"),
        ("--out x.csv --format json", "--format has no effect on captions that go into a file"),
        ("--sidecar -f json", "--format has no effect on captions that go into side-cars"),
        ("--overwrite", "--overwrite has no effect on captions that are only printed"),
        ("--out x.csv --overwrite all", "--overwrite-all has no effect on captions that go into a file"),
        ("--layout imagefolder", "--layout has no effect on captions that are only printed"),
        ("--below 0.5", "--below has no effect on captions that are only printed"),
    ],
)
def test_options_without_effect_are_refused(prompt, options, told):
    result = prompt("caption", "photos", "--model", "tiny", *options.split())
    assert result.exit_code == 2
    assert told in " ".join(result.stderr.replace("│", " ").split())


def test_captions_longer_than_the_model_writes_are_told(prompt):
    told = "warning: 'tiny' writes at most 20 tokens, so --max-length 300 is reduced to 20\n"
    assert told in prompt("caption", "photos/turned.jpg", "--model", "tiny", "--max-length", "300").stderr
    assert "warning" not in prompt("caption", "photos/turned.jpg", "--model", "tiny").stderr


def test_printed_captions_come_in_every_layout(prompt):
    table = prompt("caption", "photos/red-square.jpg", "--model", "tiny").stdout
    assert table.splitlines()[0].split() == ["caption", "score", "path", "caption"]
    (row,) = json.loads(prompt("caption", "photos/red-square.jpg", "--model", "tiny", "-f", "json").stdout)
    assert " ".join(row["caption"].split()) in table


def test_the_same_seed_samples_the_same_captions(prompt):
    command = ("caption", "photos", "--model", "tiny", "-f", "jsonl", "--strategy", "sample", "--seed")
    first, again, other = (prompt(*command, seed).stdout for seed in ("1", "1", "2"))
    assert first == again != other


def test_options_have_the_defaults_of_the_library():
    import inspect
    from dataclasses import asdict

    from cocasearch import CaptionOptions
    from cocasearch.cli.commands.caption import caption

    parameters = inspect.signature(caption).parameters
    defaults = {name: parameters[name].default for name in asdict(CaptionOptions())}
    assert CaptionOptions(**defaults | {"compat": ""}) == CaptionOptions()
    assert defaults["compat"] is None


def test_openclips_captions_are_asked_for_by_name(prompt):
    command = ("caption", "photos", "--model", "tiny", "-f", "jsonl", "--prompt", "a red")
    default, compat = prompt(*command), prompt(*command, "--compat", "openclip")
    assert compat.exit_code == 0
    assert "the prompt is ignored" in compat.stderr and "ignored" not in default.stderr
    rows = [json.loads(line) for line in compat.stdout.splitlines()]
    assert len(rows) == len(default.stdout.splitlines()) == 4
    decoding = json.loads(rows[0]["decoding"])
    assert (decoding["compat"], decoding["num_beams"], decoding["num_beam_groups"]) == ("openclip", 6, 3)
    assert not any(row["caption"].startswith("a red") for row in rows)
    assert "compat" not in json.loads(default.stdout.splitlines()[0])["decoding"]


def test_an_index_has_openclips_captions_too(prompt):
    (row,) = json.loads(
        prompt("caption", "photos/red-square.jpg", "--model", "tiny", "--compat", "openclip", "-f", "json").stdout
    )
    assert prompt("index", "photos/red-square.jpg", "--model", "tiny", "--compat", "openclip").exit_code == 0
    (hit,) = json.loads(prompt("query", "red", "-f", "json").stdout)
    assert hit["caption"] == row["caption"]


def test_missing_captions_are_written_into_an_index(prompt):
    assert prompt("index", "photos", "--model", "tiny", "--no-captions").exit_code == 0
    result = prompt("caption", "--index", "default")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "4 captioned; index 'default'" in result.stderr
    assert "captions 4 of 4" in prompt("status").stdout
    again = prompt("caption", "--index", "default")
    assert again.exit_code == 0 and "4 captioned before" in again.stderr


def test_an_index_knows_how_its_captions_were_written(prompt):
    assert prompt("index", "photos/sub", "--model", "tiny").exit_code == 0
    assert "  written  beam, num_beams 5, rerank 4.0\n" in prompt("status").stdout
    assert "warning: " not in prompt("caption", "--index", "default").stderr
    assert prompt("index", "photos", "--no-captions").exit_code == 0
    other = prompt("caption", "--index", "default", "--strategy", "greedy", "--max-length", "8")
    beams, greedy = "beam, num_beams 5, rerank 4.0", "greedy, max_length 8"
    assert f"warning: 'default' has captions written by {beams}; new ones are by {greedy}\n" in other.stderr
    assert "  written  greedy, max_length 8\n" in prompt("status").stdout
    (summary,) = json.loads(prompt("status", "--json").stdout)
    assert [settings["strategy"] for settings in summary["caption_settings"]] == ["beam", "greedy"]
    assert "warning: " not in prompt("index").stderr
    (prompt.folder / "photos" / "red-square.jpg").write_bytes(
        (prompt.folder / "photos" / "blue-circle.png").read_bytes() + b" "
    )
    told = f"warning: 'default' has captions written by {greedy}; new ones are by {beams}\n"
    assert told in prompt("index").stderr


@pytest.mark.parametrize(
    "words",
    [
        "",
        "photos --index default",
        "--index default --out x.csv",
        "--index default --sidecar",
        "--index default --sure",
        "--index default --prefix x",
    ],
)
def test_captions_go_to_one_place(prompt, words):
    assert prompt("caption", *words.split()).exit_code == 2


def test_an_index_that_is_not_there_gets_no_captions(prompt):
    result = prompt("caption", "--index", "holiday")
    assert result.exit_code == 1 and "no index 'holiday'" in result.stderr


@pytest.fixture
def doubting(monkeypatch):
    """Every other photo's caption is unsure."""
    describe = ImageDescriber.describe

    def doubt(describer, pixels):
        described = describe(describer, pixels)
        return [replace(one, caption_confidence=(0.75, 0.25)[at % 2]) for at, one in enumerate(described)]

    monkeypatch.setattr(ImageDescriber, "describe", doubt)


def test_printed_captions_are_marked_or_hidden_where_they_are_unsure(prompt, doubting):
    command = ("caption", "photos", "--model", "tiny")
    table = prompt(*command).stdout.splitlines()[1:]
    assert ["unsure: " in line for line in table] == [False, True, False, True]
    rows = json.loads(prompt(*command, "-f", "json").stdout)
    assert [(row["caption_confidence"], row["caption_is_sure"]) for row in rows] == [(0.75, True), (0.25, False)] * 2
    assert all(row["caption"] and not row["caption"].startswith("unsure") for row in rows)
    sure = json.loads(prompt(*command, "--sure", "-f", "json").stdout)
    assert [row["caption"] for row in sure] == [rows[0]["caption"], None, rows[2]["caption"], None]


@pytest.mark.parametrize("name", ["captions.parquet", "captions.csv", "captions.jsonl"])
def test_a_file_of_sure_captions_does_without_the_other_photos(prompt, doubting, name):
    command = ("caption", "photos", "--model", "tiny", "--out", name)
    result = prompt(*command, "--sure")
    assert result.exit_code == 0 and "2 captioned, 2 unsure and left out, 1 unreadable" in result.stderr
    rows = read(prompt.folder / name)
    assert [(row["path"].split("photos/")[1], float(row["caption_confidence"])) for row in rows] == [
        ("blue-circle.png", 0.75),
        ("turned.jpg", 0.75),
    ]
    assert "2 captioned, 2 captioned before" in prompt(*command).stderr
    refused = prompt(*command, "--sure")
    assert refused.exit_code == 1 and "holds unsure captions" in refused.stderr


def test_unsure_captions_get_no_sidecars_when_asked(prompt, doubting):
    assert prompt("caption", "photos", "--model", "tiny", "--sidecar", "--sure").exit_code == 0
    written = {file.name for file in (prompt.folder / "photos").rglob("*.txt")}
    assert written - {"notes.txt"} == {"blue-circle.txt", "turned.txt"}


def test_no_file_is_written_where_no_caption_is_sure(prompt, doubting, monkeypatch):
    monkeypatch.setattr("cocasearch.inference.caption_files.file_captioner.is_sure", lambda confidence: False)
    result = prompt("caption", "photos", "--model", "tiny", "--out", "captions.csv", "--sure")
    assert result.exit_code == 3 and "no caption is sure" in result.stderr
    assert not (prompt.folder / "captions.csv").exists()


def test_an_index_stores_how_sure_its_captions_are_and_exports_the_sure_ones(prompt, doubting):
    assert prompt("index", "photos", "--model", "tiny").exit_code == 0
    assert "  captions 4 of 4, 2 unsure\n" in prompt("status").stdout
    assert prompt("export", "all.parquet").exit_code == prompt("export", "sure.parquet", "--sure").exit_code == 0
    everything, sure = (read(prompt.folder / f"{name}.parquet") for name in ("all", "sure"))
    assert sorted(row["caption_confidence"] for row in everything) == [0.25, 0.25, 0.75, 0.75]
    assert {row["caption_by"] for row in everything} == {"model"}
    assert sure == [row for row in everything if row["caption_confidence"] > 0.5]
    assert "2 photos of index" in prompt("export", "out", "--layout", "clip-retrieval", "--sure").stderr
    metadata = read(prompt.folder / "out" / "metadata" / "metadata_0.parquet")
    assert [row["caption"] for row in metadata] == [row["caption"] for row in sure]
    vectors = np.load(prompt.folder / "out" / "img_emb" / "img_emb_0.npy")
    np.testing.assert_allclose(vectors, [row["embedding"] for row in sure], atol=1e-3)
