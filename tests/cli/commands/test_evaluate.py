import json

import pytest

COMPAT = ("--compat", "openclip")


@pytest.fixture
def captioned(prompt):
    """Three photos with captions, one of them broken."""
    rows = ["photos/red-square.jpg\ta red square", "photos/red-square.jpg\tsomething red",
            "photos/turned.jpg\ta green square", "photos/truncated.jpg\ta torn photo"]  # fmt: skip
    (prompt.folder / "data.tsv").write_text("\n".join(["filepath\ttitle", *rows]) + "\n")
    return prompt


def test_report_has_the_documented_keys(captioned):
    result = captioned("eval", "data.tsv", "--model", "tiny", "--json")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert (report["n_images"], report["n_texts"], report["n_unreadable"]) == (2, 3, 1)
    for way in ("text_to_image", "image_to_text"):
        assert set(report[way]) == {"recall@1", "recall@5", "recall@10", "median_rank"}
    assert set(report["captions"]) >= {"bleu@4", "rouge_l", "cider_d", "distinct"}
    assert "unreadable: photos/truncated.jpg: truncated" in result.stderr


def test_labels_are_read_with_the_words_around_them(captioned):
    rows = ["photos/red-square.jpg,sign", 'photos/turned.jpg,"sign, poster"']
    (captioned.folder / "kinds.csv").write_text("\n".join(["filepath,kind", *rows]))
    options = ("--model", "tiny", "--caption-key", "kind", "--no-captions", "--json")
    plain = json.loads(captioned("eval", "kinds.csv", *options).stdout)
    result = captioned("eval", "kinds.csv", *options, "--label-template", "a {name}", "--batch-size", "1")
    assert result.exit_code == 0, result.stderr
    labels = json.loads(result.stdout)
    assert (plain["n_images"], plain["n_texts"]) == (2, 2)
    assert (labels["n_images"], labels["n_texts"]) == (2, 1)  # a label is its first synonym


def test_photos_are_read_so_many_at_once(captioned, monkeypatch):
    from cocasearch.inference.describer import ImageDescriber

    sizes, describe = [], ImageDescriber.describe
    monkeypatch.setattr(
        ImageDescriber, "describe", lambda self, pixels: sizes.append(len(pixels)) or describe(self, pixels)
    )
    for size in ("1", "2"):
        options = ("--model", "tiny", "--no-captions", "--batch-size", size)
        assert captioned("eval", "data.tsv", *options).exit_code == 0
    assert sizes in ([1, 1, 2], [1, 1, 1, 1])  # the torn one takes its place in a batch


def test_report_for_people_without_captions(captioned):
    lines = captioned("eval", "data.tsv", "--model", "tiny", "--no-captions").stdout.splitlines()
    assert lines[0] == "tiny on 2 photos and 3 texts"
    assert [line.split()[:3] for line in lines[-2:]] == [["text", "to", "image"], ["image", "to", "text"]]


def test_openclips_captions_are_measured_when_asked_for(captioned, monkeypatch):
    from cocasearch.inference.generation.openclip_decoding import OpenClipBeamSearch

    searches, results = [], OpenClipBeamSearch.results
    monkeypatch.setattr(OpenClipBeamSearch, "results", lambda self: searches.append(self) or results(self))
    for options, count in (([], 0), (COMPAT, 1)):
        assert captioned("eval", "data.tsv", "--model", "tiny", "--json", *options).exit_code == 0
        assert len(searches) == count
    assert "cannot be used together" in captioned("eval", "data.tsv", "--no-captions", *COMPAT).stderr


def test_what_is_left_out_is_named_before_the_measuring(captioned):
    file = captioned.folder / "data.tsv"
    bad = [f"photos/gone-{number}.jpg\tgone" for number in range(6)]
    file.write_text(file.read_text() + "\n".join(["photos/turned.jpg\t", "\ta cat", *bad]) + "\n")
    result = captioned("eval", "data.tsv", "--model", "tiny", "--no-captions")
    assert result.exit_code == 0
    lines = result.stderr.splitlines()
    at = next(number for number, line in enumerate(lines) if "skipped" in line)
    assert "skipped 2 bad rows" in lines[at]
    assert "and 6 missing photos" in lines[at]
    assert lines[at + 1 : at + 7] == [
        "  row 5 of data.tsv: no caption",
        "  row 6 of data.tsv: no photo",
        *(f"  photos/gone-{number}.jpg: no such file" for number in range(3)),
        "  and 3 more; all of them: cocasearch data check data.tsv --format csv",
    ]


def test_a_file_whose_rows_make_no_sense_is_refused_before_a_model_is_loaded(captioned):
    (captioned.folder / "data.csv").write_text("image,caption\na.jpg,one, two\n")
    for command in (("eval",), ("train", "--out", "x"), ("finetune", "--out", "x")):
        result = captioned(command[0], "data.csv", *command[1:])
        assert result.exit_code == 1
        assert "row 1 of data.csv: it has 3 cells where the header has 2" in result.stderr
        assert "quotation marks" in result.stderr


def test_a_photo_under_two_names_counts_once(captioned):
    photos, file = captioned.folder / "photos", captioned.folder / "data.tsv"
    (photos / "again.jpg").write_bytes((photos / "red-square.jpg").read_bytes())
    file.write_text(file.read_text() + "photos/again.jpg\tthe red one\n")
    result = captioned("eval", "data.tsv", "--model", "tiny", "--no-captions")
    assert result.stdout.splitlines()[0] == "tiny on 2 photos and 4 texts"
    lines = result.stderr.splitlines()
    at = lines.index("data.tsv: 1 copy of another photo is merged with it")
    assert lines[at + 1] == "  photos/again.jpg: the same bytes as photos/red-square.jpg"
