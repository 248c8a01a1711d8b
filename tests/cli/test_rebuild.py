"""Another model beside the old one, at the prompt: `index --rebuild --model OTHER`."""

import json
import re
import shlex
import shutil

import pytest

from cocasearch.checkpoints.model_folder import save_model_folder
from cocasearch.images.transforms import PreprocessConfig
from cocasearch.indexing.builder import IndexBuilder
from cocasearch.inference.describer import ImageDescriber
from cocasearch.inference.loaded_model import load_model
from cocasearch.model.coca import CoCa


@pytest.fixture
def other(indexed, tiny_config, tiny_tokenizer):
    """A prompt with a second model, `other`, beside the one that made the index."""
    folder = indexed.folder / "home" / "models" / "other"
    weights = CoCa(tiny_config).state_dict()
    preprocess = PreprocessConfig(image_size=32)
    save_model_folder(
        folder, weights, config=tiny_config, preprocess=preprocess, tokenizer=tiny_tokenizer, provenance={}
    )
    return indexed


def scores(prompt, *options):
    result = prompt("query", "red", "--format", "json", *options)
    assert result.exit_code == 0, result.stderr
    return {hit["path"]: hit["score"] for hit in json.loads(result.stdout)}


def stop(done, total):
    raise KeyboardInterrupt


@pytest.mark.parametrize("what", ["", "data", "_versions"])
def test_the_command_that_mends_a_lost_or_damaged_table_does(indexed, what):
    index = indexed.folder / "indexes" / "default"
    shutil.rmtree(index / "images-1.lance" / what)
    shutil.rmtree(index / "snapshot")
    hint = re.search(r"hint: cocasearch (index .*--rebuild.*)", indexed("verify").stderr)[1]
    assert "4 added" in indexed(*hint.split()).stderr
    assert indexed("verify").exit_code == 0
    assert len(scores(indexed)) == 4


def test_photos_that_are_left_behind_are_named_before_and_after(other):
    (other.folder / "photos" / "blue-circle.png").unlink()
    assert "1 left behind" in other("index", "--rebuild", "--dry-run").stderr
    told = other("index", "--rebuild").stderr
    assert "1 photo is not there and left the index: photos/blue-circle.png\n" in told


@pytest.mark.parametrize(("old", "new"), [("photos/sub", "photos"), ("photos", "new place")])
def test_photos_moved_out_of_a_folder_are_followed_by_the_run_that_a_refused_rebuild_names(prompt, old, new):
    prompt("index", "photos", "--model", "tiny", "--index", "mine")
    (prompt.folder / new).mkdir(exist_ok=True)
    moved = list((prompt.folder / old).iterdir())
    for path in moved:
        path.rename(prompt.folder / new / path.name)
    rebuild = ("index", new, "--rebuild", "--index", "mine")
    refused = prompt(*rebuild)
    follow, forget = re.search(r"if they have been moved: (.*); if they are no more: (.*)", refused.stderr).groups()
    assert (refused.exit_code, forget) == (1, f"cocasearch remove {prompt.folder / old} --index mine")
    assert f"{1 if len(moved) == 1 else 4} moved" in prompt(*shlex.split(follow)[1:]).stderr
    assert "4 added" in prompt(*rebuild).stderr


def test_photos_of_a_folder_that_is_away_are_forgotten_by_the_command_named(prompt):
    prompt("index", "photos", "--model", "tiny", "--index", "mine")
    shutil.rmtree(prompt.folder / "photos" / "sub")
    (prompt.folder / "photos" / "sub").mkdir()
    told = prompt("index", "--index", "mine").stderr
    assert "1 removed" in prompt(*re.search(r"All is kept, until: cocasearch (.*)", told)[1].split()).stderr


@pytest.mark.parametrize("options", [(), ("--rebuild",), ("--rebuild", "--model", "tiny")])
def test_a_folder_of_nothing_but_links_is_told_so(prompt, options):
    (prompt.folder / "links").mkdir()
    (prompt.folder / "links" / "photos").symlink_to(prompt.folder / "photos", target_is_directory=True)
    result = prompt("index", "links", *options)
    assert result.exit_code == 3
    assert "hint: links to folders are not followed; give the folders themselves\n" in result.stderr


def test_words_are_encoded_by_the_old_model_until_the_new_one_has_seen_every_photo(other):
    old = scores(other)
    assert other("index", "photos", "--index", "new", "--model", "other").exit_code == 0
    new = scores(other, "--index", "new")
    with pytest.raises(KeyboardInterrupt):
        builder = IndexBuilder(other.folder / "indexes" / "default", load_model("other"), batch_size=2)
        builder.build((), rebuild=True, progress=stop)
    assert scores(other) == old != new
    assert scores(other, "--model", "tiny") == old
    refused = other("query", "red", "--model", "other")
    assert refused.exit_code == 1 and "was built with model tiny@" in refused.stderr
    assert "rebuild  with other@" in other("status").stdout
    assert "2 added" in other("index", "--rebuild", "--model", "other").stderr
    assert scores(other) == pytest.approx(new, abs=1e-3)
    assert other("query", "red", "--model", "tiny").exit_code == 1
    (summary,) = (one for one in json.loads(other("status", "--json").stdout) if one["name"] == "default")
    assert (summary["model"].split("@")[0], summary["rebuild"], summary["snapshot"]) == ("other", None, "fresh")
    assert other("verify").stderr.endswith("index 'default' with 4 rows is in order\n")


def test_a_rebuild_whose_photos_go_away_meanwhile_leaves_the_old_index_in_use_and_goes_on(other, monkeypatch):
    old, photos = scores(other), other.folder / "photos"
    describe = ImageDescriber.describe

    def describe_then_lose(*given):
        if photos.exists():
            photos.rename(other.folder / "away")
        return describe(*given)

    with monkeypatch.context() as patched:
        patched.setattr(ImageDescriber, "describe", describe_then_lose)
        stopped = other("index", "--rebuild", "--model", "other", "--batch-size", "2")
    assert stopped.exit_code == 1
    assert "photos were gone when their turn came" in stopped.stderr
    assert "photos could not be read now, so the old index stays in use" in stopped.stderr
    assert scores(other) == old
    (other.folder / "away").rename(photos)
    hint = re.search(r"To go on: cocasearch (index --rebuild .*)", stopped.stderr)[1]
    assert other(*hint.split()).exit_code == 0
    assert len(scores(other)) == 4 and scores(other) != old


def test_an_index_of_an_older_schema_is_rebuilt_by_the_command_that_its_refusal_names(indexed):
    file = indexed.folder / "indexes" / "default" / "manifest.json"
    fields = json.loads(file.read_text()) | {"schema_version": 6}
    file.write_text(json.dumps(fields | {"decodings": fields.pop("caption_settings")}))
    for command in (("query", "red"), ("index", "photos"), ("status",), ("verify",), ("export", "all.csv")):
        refused = indexed(*command)
        assert refused.exit_code == 1 and "Traceback" not in refused.stderr
        told = " ".join(refused.stderr.split())
        assert "index 'default' was written by an older cocasearch (schema 6, this one knows 7)" in told
        assert told.endswith("cocasearch index --rebuild")
    assert indexed("index", "--rebuild").exit_code == 0
    assert json.loads(file.read_text())["schema_version"] == 7
    assert indexed("query", "red").exit_code == 0
