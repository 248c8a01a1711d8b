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


def test_report_for_people_without_captions(captioned):
    lines = captioned("eval", "data.tsv", "--model", "tiny", "--no-captions").stdout.splitlines()
    assert lines[0] == "tiny on 2 photos and 3 texts"
    assert [line.split()[:3] for line in lines[-2:]] == [["text", "to", "image"], ["image", "to", "text"]]


def test_openclips_captions_are_measured_when_asked_for(captioned, monkeypatch):
    from cocasearch.inference.openclip_decoding import OpenClipBeamSearch

    searches, results = [], OpenClipBeamSearch.results
    monkeypatch.setattr(OpenClipBeamSearch, "results", lambda self: searches.append(self) or results(self))
    for options, count in (([], 0), (COMPAT, 1)):
        assert captioned("eval", "data.tsv", "--model", "tiny", "--json", *options).exit_code == 0
        assert len(searches) == count
    assert "exclude each other" in captioned("eval", "data.tsv", "--no-captions", *COMPAT).stderr
