"""Labels read from a model's vectors, told as a table and a sentence, or as JSON."""

import json
import random

import pytest
from PIL import Image


@pytest.fixture
def labelled(prompt, photo_folder):
    """Forty photos in two plain colours that any encoder can tell apart, labelled by colour."""
    folder = photo_folder.parent
    rows = ["filepath,label,sentence"]
    for number in range(40):
        name = ("red", "blue")[number % 2]
        shade = 150 + 2 * number
        color = (shade, 10, 10) if name == "red" else (10, 10, shade)
        Image.new("RGB", (40, 40), color).save(folder / f"{number}.png")
        rows.append(f"{number}.png,{name},photo number {number}")
    (folder / "labels.csv").write_text("\n".join(rows))
    return prompt


def test_labels_are_found_and_told(labelled):
    result = labelled("probe", "labels.csv", "--model", "tiny", "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert (report["n_training"], report["n_held_out"], report["n_classes"]) == (32, 8, 2)
    assert report["linear_probe"]["accuracy"] == 1.0
    assert report["linear_probe"]["accuracy_95"] == [1.0, 1.0]
    assert 0 <= report["zero_shot"]["accuracy"] <= 1
    assert report["verdict"] in result.stderr
    table = labelled("probe", "labels.csv", "--model", "tiny")
    assert "linear classifier" in table.stdout
    assert table.stderr.strip().splitlines()[-1] == report["verdict"]


def test_captions_are_no_labels(labelled):
    result = labelled("probe", "labels.csv", "--model", "tiny", "--label-key", "sentence")
    assert result.exit_code == 1
    assert "so they are captions rather than labels" in result.stderr
    assert "--label-key COLUMN" in result.stderr


def test_missing_column_names_the_option(labelled):
    result = labelled("probe", "labels.csv", "--model", "tiny", "--label-key", "kind")
    assert result.exit_code == 1
    assert "--label-key COLUMN" in result.stderr


def test_a_photo_under_two_names_is_not_both_learned_and_measured(labelled):
    folder = labelled.folder
    rows = (folder / "labels.csv").read_text().splitlines()
    for number in range(40):
        (folder / f"copy-{number}.png").write_bytes((folder / f"{number}.png").read_bytes())
        rows.append(f"copy-{number}.png,{('red', 'blue')[number % 2]},again")
    (folder / "labels.csv").write_text("\n".join(rows))
    result = labelled("probe", "labels.csv", "--model", "tiny", "--json")
    report = json.loads(result.stdout)
    assert (report["n_training"], report["n_held_out"]) == (32, 8)


def test_photos_with_several_labels_are_named(labelled):
    folder = labelled.folder
    assert "several labels" not in labelled("probe", "labels.csv", "--model", "tiny").stderr
    (folder / "copy.png").write_bytes((folder / "0.png").read_bytes())
    with (folder / "labels.csv").open("a") as rows:
        rows.write("\ncopy.png,blue,again\n1.png,red,again\n1.png,red,again\n2.png,red,again\n")
    result = labelled("probe", "labels.csv", "--model", "tiny")
    assert result.exit_code == 0, result.stderr
    told = result.stderr.splitlines()
    at = told.index("2 photos have several labels, of which the first counts")
    assert sorted(told[at + 1 : at + 3]) == ["  0.png: red, blue", "  1.png: blue, red"]
    assert not told[at + 3].startswith("  ")


def test_photos_that_are_also_measured_on_are_named_and_not_learned_from(labelled):
    folder = labelled.folder
    result = labelled("probe", "labels.csv", "--model", "tiny", "--val", "labels.csv")
    assert result.exit_code == 1
    assert "nothing is left to train on: all of it is also measured on" in result.stderr
    rows = (folder / "labels.csv").read_text().splitlines()
    for number in range(4):  # unlike the others
        picture = Image.frombytes("RGB", (6, 4), random.Random(number).randbytes(72))
        picture.resize((96, 64), Image.Resampling.NEAREST).save(folder / f"odd-{number}.png")
        rows.append(f"odd-{number}.png,red,odd")
    (folder / "labels.csv").write_text("\n".join(rows))
    with Image.open(folder / "odd-1.png") as picture:
        picture.resize((120, 80)).save(folder / "again.jpg", quality=90)
    (folder / "val.csv").write_text("filepath,label\nodd-0.png,red\nagain.jpg,blue\n")
    result = labelled("probe", "labels.csv", "--model", "tiny", "--val", "val.csv", "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert (report["n_training"], report["n_held_out"], report["n_left_out"]) == (42, 2, 2)
    lines = result.stderr.splitlines()
    assert "  odd-0.png: odd-0.png" in lines
    assert "  odd-1.png: again.jpg" in lines


def test_options_change_what_is_measured(labelled):
    chance = random.Random(5)
    rows = [f"{number}.png,{chance.choice(('red', 'blue', 'green'))}" for number in range(40)]
    (labelled.folder / "guesses.csv").write_text("\n".join(["foto,label", *rows]))

    def report(*options):
        result = labelled("probe", "guesses.csv", "--model", "tiny", "--image-key", "foto", "--json", *options)
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    plain = report()
    other = report("--seed", "1")
    assert other["linear_probe"] != plain["linear_probe"]
    texts = ("{name} {name} on the grass", "{name}", "on the sea a boat, {name}", "two {name} {name} {name} triangles")
    found = [report("--template", text) for text in texts]
    assert all(words["linear_probe"] == plain["linear_probe"] for words in found)
    assert len({words["zero_shot"]["accuracy"] for words in found}) > 1
    singly = report("--batch-size", "1")
    assert singly["linear_probe"]["accuracy"] == plain["linear_probe"]["accuracy"]
    (labelled.folder / "val.csv").write_text("\n".join(["filepath,label", *rows[:4]]))
    assert (report("--val", "val.csv")["n_held_out"], plain["n_held_out"]) == (4, 8)


def test_templates_without_a_place_and_other_labels_are_refused(labelled):
    result = labelled("probe", "labels.csv", "--model", "tiny", "--template", "a photo")
    assert "error: the label template 'a photo' has no place for the {name}" in result.stderr
    (labelled.folder / "val.csv").write_text("filepath,label\n1.png,green\n")
    result = labelled("probe", "labels.csv", "--model", "tiny", "--val", "val.csv")
    assert result.exit_code == 1
    assert "error: no label of val.csv is among those of labels.csv" in result.stderr
