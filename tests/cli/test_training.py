import json
import os
import random
import re
import subprocess
import sys

import pytest
from PIL import Image

from cocasearch.checkpoints.model_folder import read_model_folder
from cocasearch.cli.options.training_settings import apply_settings
from cocasearch.cli.output.training_progress import TrainingLine
from cocasearch.errors import CocaSearchError
from cocasearch.training.config import TrainingConfig
from cocasearch.training.model import tower_blocks
from cocasearch.training.step.processes import Processes

TINY_RUN = ("--set", "epochs=1", "--set", "batch_size=4", "--set", "validations=1", "--set", "frozen_epochs=0")


@pytest.fixture
def captioned(prompt):
    """Ten captioned photos, no two alike."""
    rows = ["filepath\ttitle"]
    for number in range(10):
        colours = random.Random(number).randbytes(6 * 4 * 3)
        picture = Image.frombytes("RGB", (6, 4), colours).resize((96, 64), Image.Resampling.NEAREST)
        picture.save(prompt.folder / "photos" / f"{number}.png")
        rows.append(f"photos/{number}.png\ta {'red' if number % 2 else 'turned'} thing")
    (prompt.folder / "captions.tsv").write_text("\n".join(rows) + "\n")
    return prompt


def test_settings_change_fields_by_name_and_type():
    changed = apply_settings(
        TrainingConfig(), ["epochs=2", "optimizer=adamw", "augmentation.flip=false", "frozen_epochs=inf"]
    )
    assert (changed.data.epochs, changed.optimization.optimizer, changed.augmentation.flip) == (2.0, "adamw", False)
    assert changed.freezing.frozen_epochs == float("inf")
    assert changed.augmentation.min_area == TrainingConfig().augmentation.min_area


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("dropuot=0.1", "did you mean 'dropout'"),
        ("augmentation.colour=0.1", "did you mean 'color'"),
        ("data.min_area=0.1", "there is no setting 'data.min_area'; did you mean 'min_area'"),
        ("lr=1", "there is no setting 'lr'; did you mean 'learning_rate', which in finetune is also --lr?"),
        ("learning-rate=1", "did you mean 'learning_rate'"),
        ("images_per_step=2", "did you mean 'batch_size', which in finetune is also --batch-size?"),
        ("passes=3", "there is no setting 'passes'; did you mean 'epochs', which in finetune is also --epochs?"),
        ("frozen_passes=2", "did you mean 'frozen_epochs'"),
        ("save_passes=2", "did you mean 'save_epochs'"),
        ("foo=1", "there is no setting 'foo'$"),
        ("augmentation.foo=1", "there is no setting 'augmentation.foo'$"),
        ("z" * 1000 + "=1", "there is no setting 'z{60}…'$"),
        ("epochs", "the setting 'epochs' gives no value"),
        ("augmentation=3", "'augmentation' has settings of its own, such as min_area"),
        ("epochs=many", "'epochs' takes a number, not 'many'"),
        ("epochs=" + "9z" * 500, "'epochs' takes a number, not '(9z){30}…'$"),
        ("batch_size=1.5", "'batch_size' takes a whole number"),
        ("dropout=2", "dropout must be from 0"),
    ],
)
def test_wrong_setting_is_named(setting, words):
    with pytest.raises(CocaSearchError, match=words) as caught:
        apply_settings(TrainingConfig(), [setting])
    if "there is no setting" in str(caught.value):
        assert caught.value.hint == "--settings prints all settings"


def test_a_setting_is_not_given_two_values():
    assert apply_settings(TrainingConfig(), ["epochs=2"], epochs=2.0).data.epochs == 2
    with pytest.raises(CocaSearchError, match="'epochs' is given two values: 1 and 2"):
        apply_settings(TrainingConfig(), ["epochs=2"], epochs=1)
    with pytest.raises(CocaSearchError, match="'flip' is given two values: true and false"):
        apply_settings(TrainingConfig(), ["augmentation.flip=true", "flip=false"])


@pytest.mark.parametrize("command", ["train", "finetune"])
def test_all_settings_are_printed_without_anything_else(prompt, command):
    result = prompt(command, "--settings")
    assert result.exit_code == 0
    printed = result.stdout.splitlines()
    assert max(map(len, printed)) <= 80
    settings = [line.split("  (")[0].strip() for line in printed if re.match(r"  \w+=", line)]
    assert {"dropout=0.1", "flip=true", "frozen_epochs=9.0", "distill_from="} <= set(settings)
    assert [setting.partition("=")[0] for setting in settings] == list(TrainingConfig().values())
    assert apply_settings(TrainingConfig(), settings) == TrainingConfig()
    assert ("      finetune: adamw" in printed) == (command == "finetune")


@pytest.mark.parametrize("setting", ["foo=1", "dropout=2", "epochs=many", "unlocked_text_groups=2"])
def test_a_wrong_setting_is_wrong_usage(captioned, setting):
    for command in ("train", "finetune"):
        result = captioned(command, "captions.tsv", "--out", "mine", "--model", "tiny", "--set", setting)
        assert result.exit_code == 2
        assert result.stderr.startswith("error: ")
        assert not (captioned.folder / "mine.run").exists()


def test_settings_without_effect_are_said(captioned):
    idle = ("lora_alpha=4", "muon_learning_rate=0.1", "held_out=3")
    (captioned.folder / "val.csv").write_text("image,caption\nphotos/0.png,a turned thing\n")
    options = ("--out", "mine", "--model", "tiny", "--epochs", "1", "--batch-size", "2", "--val", "val.csv")
    words = [word for setting in (*idle, "keep_near=true") for word in ("--set", setting)]
    result = captioned("finetune", "captions.tsv", *options, *words)
    assert "warning: lora_alpha has no effect without lora_rank (--lora)" in result.stderr.splitlines()
    assert "warning: muon_learning_rate has no effect without optimizer=muon" in result.stderr.splitlines()
    assert "warning: held_out has no effect with --val" in result.stderr.splitlines()
    assert result.stderr.count("has no effect") == 3
    options = ("--out", "trained", "--model", "tiny", "--set", "names_per_step=3", "--set", "schedule=const", *TINY_RUN)
    result = captioned("train", "captions.tsv", *options)
    assert result.exit_code == 0, result.stderr
    assert [line for line in result.stderr.splitlines() if "no effect" in line] == [
        "warning: names_per_step has no effect without class names"
    ]


def test_a_run_that_goes_on_says_from_where(captioned, monkeypatch):
    command = ("train", "captions.tsv", "--out", "trained", "--model", "tiny", *TINY_RUN)

    def stop(line, progress):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TrainingLine, "__call__", stop)
        assert captioned(*command).exit_code == 130
    result = captioned(*command)
    assert result.exit_code == 0, result.stderr
    assert "going on from step 1" in result.stderr.splitlines()
    assert "Going on" not in captioned(*command[:3], "other", *command[4:]).stderr


def test_a_refused_run_leaves_nothing_behind(captioned):
    (captioned.folder / "few.tsv").write_text("filepath\ttitle\nphotos/0.png\ta thing\n")
    (captioned.folder / "kept.run").mkdir()
    before = sorted(captioned.folder.rglob("*"))
    for options in (
        ("finetune", "few.tsv", "--out", "new/mine"),
        ("finetune", "captions.tsv", "--out", "kept", "--set", "lora_rank=2", "--set", "lora_towers=none"),
        ("train", "captions.tsv", "--out", "new/deep/mine", "--names", "nowhere.tsv"),
        ("train", "captions.tsv", "--out", "mine", "--report-to", "nobody"),
    ):
        result = captioned(*options, "--model", "tiny")
        assert result.exit_code == 1 and "Traceback" not in result.stderr
        left = [path for path in sorted(captioned.folder.rglob("*")) if "kept.run" not in path.parts]
        assert left == [path for path in before if "kept.run" not in path.parts], options
    assert (captioned.folder / "kept.run").is_dir()  # it was there before


@pytest.mark.parametrize("rank", ["1", "abc", ""])
def test_only_training_by_several_processes_asks_which_this_is(captioned, rank):
    path = os.pathsep.join(sys.path)
    environment = {**os.environ, "RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "", "PYTHONPATH": path}
    program = "from cocasearch.training.step.launch import process_number as n; from cocasearch.__main__ import main"
    command = [sys.executable, "-c", f"{program}; print(n()); main()", "data", "check", "captions.tsv"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("0\n") and len(run.stdout) > 2 and run.stderr


def test_trained_model_can_be_used(captioned):
    result = captioned("train", "captions.tsv", "--out", "my model", "--model", "tiny", *TINY_RUN)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    told = "wrote my model after 2 steps; use it with: cocasearch index PHOTOS --model 'my model'"
    assert told in result.stderr.splitlines()
    assert captioned("index", "photos", "--model", "./my model").exit_code == 0


def test_proof_is_printed_though_the_remote_place_fails(captioned):
    (captioned.folder / "mine.run").mkdir()
    (captioned.folder / "remote").mkdir()
    (captioned.folder / "remote" / "mine.run").write_text("no folder")
    options = ("--out", "mine", "--model", "tiny", "--epochs", "1", "--batch-size", "2", "--json")
    result = captioned("finetune", "captions.tsv", *options, "--remote-sync", "remote")
    assert result.exit_code == 1
    assert "comparison" in json.loads(result.stdout)
    lines = result.stderr.splitlines()
    assert len([line for line in lines if line.startswith("warning: cannot copy the run to remote: ")]) == 1
    last = next(number for number, line in enumerate(lines) if line.startswith("wrote mine"))
    assert "cannot copy the run to remote: " in lines[last + 1]
    assert "all of it is here: copy mine and mine.run" in result.stderr
    assert captioned("models", "info", "./mine").exit_code == 0


def test_finetuning_measures_the_same_photos_before_and_after(captioned):
    options = ("--out", "mine", "--model", "tiny", "--epochs", "1", "--batch-size", "2", "--json")
    result = captioned("finetune", "captions.tsv", *options)
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["before"]["n_images"] == report["after"]["n_images"] == 2
    assert {"text to image recall@1", "caption CIDEr-D"} <= {figure["figure"] for figure in report["comparison"]}
    assert report["curve"][0]["keep"] == 0
    assert report["measured_apart"] is False
    assert report["plan"]["config"]["epochs"] == 1
    assert report["plan"]["memory"]["total"] > report["plan"]["memory"]["weights"]
    assert captioned("models", "info", "./mine").exit_code == 0
    rebuilt = captioned("index", "photos", "--model", "./mine", "--rebuild")
    assert rebuilt.exit_code == 0, rebuilt.stderr
    assert captioned("query", "a red thing").exit_code == 0


def test_finetuning_says_what_it_will_do_and_what_came_of_it(captioned):
    options = ("--out", "mine", "--model", "tiny", "--epochs", "1", "--set", "batch_size=2")
    result = captioned("finetune", "captions.tsv", "--guard", "captions.tsv", *options)
    assert result.exit_code == 0, result.stderr
    said = result.stderr.splitlines()
    assert any("photos to learn from, 2 held out; 1 epochs, 2 a step" in line for line in said)
    assert any(line.startswith("memory expected: ") for line in said)
    assert "8 photos of the guard are also learned from, and will not show what is forgotten" in said
    assert any(line.startswith("2 held-out photos prove nothing: of fewer than 6") for line in said)
    assert not any(line.startswith(("better", "worse", "--keep")) for line in said)
    assert any(line.startswith("what it knew before, on 10 photos of captions.tsv: text to image") for line in said)
    assert "guard t2i@10" in result.stdout
    assert "difference 95 %" in result.stdout
    assert "the weights were chosen by the same photos, so that those after look a little too good" in result.stdout


def test_photos_that_are_also_measured_on_are_named_and_not_trained_on(captioned):
    folder = captioned.folder
    with Image.open(folder / "photos" / "3.png") as picture:
        picture.resize((120, 80)).save(folder / "photos" / "again.jpg", quality=90)
    (folder / "val.csv").write_text("image,caption\nphotos/0.png,a turned thing\nphotos/again.jpg,a red thing\n")
    options = ("--out", "trained", "--model", "tiny", "--val", "val.csv", *TINY_RUN)
    result = captioned("train", "captions.tsv", *options)
    assert result.exit_code == 0, result.stderr
    lines = result.stderr.splitlines()
    assert "not trained on, since they are measured on, byte for byte: 1 photo" in lines
    assert "  photos/0.png: photos/0.png" in lines
    assert "  photos/3.png: photos/again.jpg" in lines
    assert "2 in all, with the reasons: trained.run/excluded.csv" in lines
    assert read_model_folder(folder / "trained").provenance["pictures"] == [8]
    kept = captioned("train", "captions.tsv", "--out", "other", *options[2:], "--set", "keep_near=true")
    assert kept.exit_code == 0, kept.stderr
    assert read_model_folder(folder / "other").provenance["pictures"] == [9]


def test_of_many_processes_one_tells_what_is_left_out(captioned, monkeypatch):
    file = captioned.folder / "captions.tsv"
    file.write_text(file.read_text() + "photos/gone.png\ta gone thing\n")
    told = {}
    monkeypatch.setattr(Processes, "join", classmethod(lambda cls, device: cls()))  # the others are not there
    for rank in ("1", "0"):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("WORLD_SIZE", "2")
        result = captioned("train", "captions.tsv", "--out", f"trained-{rank}", "--model", "tiny", *TINY_RUN)
        assert result.exit_code == 0, result.stderr
        told[rank] = "photos/gone.png: no such file" in result.stderr
    assert told == {"0": True, "1": False}


def test_a_recipe_is_asked_for_by_its_options(captioned):
    settings = ("optimizer=adamw", "learning_rate=0.01", "encoder_learning_rate=0.01", "frozen_blocks=0")
    options = ("--precision", "float32", *(word for setting in settings for word in ("--set", setting)))
    result = captioned(
        "train", "captions.tsv", "--out", "trained", "--model", "tiny", "--lora", "2", *options, *TINY_RUN
    )
    assert result.exit_code == 0, result.stderr
    trained, before = (read_model_folder(captioned.folder / name) for name in ("trained", "home/models/tiny"))
    assert trained.provenance["training"]["lora_rank"] == 2
    weights = before.load_model().state_dict()
    changed = {
        name
        for name, value in trained.load_model().state_dict().items()
        if (value - weights[name].half().float()).abs().max() > 1e-6
    }
    assert changed == {name for name in weights if re.search(r"(attention|mlp)\.\w+\.weight$", name)} | {"logit_scale"}


def test_options_and_settings_that_need_each_other_are_taken_together(captioned):
    options = ("--precision", "pure_bfloat16", "--set", "optimizer=adamw", "--set", "frozen_blocks=0")
    result = captioned("train", "captions.tsv", "--out", "trained", "--model", "tiny", *options, *TINY_RUN)
    assert result.exit_code == 0, result.stderr
    trained = read_model_folder(captioned.folder / "trained").provenance["training"]
    assert (trained["precision"], trained["optimizer"]) == ("pure_bfloat16", "adamw")


def test_a_run_that_cannot_be_compiled_says_so_and_goes_on(captioned, monkeypatch):
    monkeypatch.setattr(tower_blocks, "compiler_problem", lambda: "no C++ compiler")
    options = ("--out", "trained", "--model", "tiny", "--set", "compile=true", *TINY_RUN)
    result = captioned("train", "captions.tsv", *options)
    assert result.exit_code == 0, result.stderr
    assert "warning: torch cannot compile here (no C++ compiler), so the run goes on uncompiled" in result.stderr


def test_finetuning_takes_the_options_of_recipes(captioned):
    options = ("--out", "mine", "--model", "tiny", "--epochs", "2", "--batch-size", "2", "--lora", "2")
    result = captioned("finetune", "captions.tsv", *options, "--distill", "tiny", "--precision", "pure_bfloat16")
    assert result.exit_code == 0, result.stderr
    mine = read_model_folder(captioned.folder / "mine")
    settings = mine.provenance["training"]
    asked = {"lora_rank": 2, "distill_from": "tiny", "precision": "pure_bfloat16"}
    assert {name: settings[name] for name in asked} == asked
    assert not any("adapter" in name for name in mine.load_model().state_dict())


def test_a_teacher_that_is_not_there_is_named(captioned):
    result = captioned("train", "captions.tsv", "--out", "mine", "--model", "tiny", "--distill", "nobody", *TINY_RUN)
    assert result.exit_code == 1
    assert "nobody" in result.stderr
    assert not (captioned.folder / "mine").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--weight", "nan"), "a weight must be a number above 0, not nan"),
        (("--weight", "inf"), "a weight must be a number above 0, not inf"),
        (("--weight", "2"), "--weight has no effect: it divides a step among several sources, and there is one"),
        (("--label-key", "kind"), "--label-key has no effect: it names a column of labelled photos"),
        (("--card", "photos/0.png"), "photos/0.png is no text in UTF-8 that could be a model card"),
        (("--set", "force_context_length=2"), "force_context_length must be 3 at least"),
        (("--pooler", "single"), "tiny has its architecture and its weights already, so --pooler has no effect"),
        (("--preset", "nosuch"), "tiny has its architecture and its weights already, so --preset has no effect"),
        (("--no-image-weights",), "tiny has its architecture and its weights already, so --no-image-weights has no"),
        (("--text-model", "photos"), "tiny has its architecture and its weights already, so --text-model has no"),
    ],
)
def test_what_is_no_use_is_refused_in_a_sentence(captioned, options, words):
    result = captioned("train", "captions.tsv", "--out", "trained", "--model", "tiny", *TINY_RUN, *options)
    assert result.exit_code == 1
    assert f"error: {words}" in result.stderr
    assert not (captioned.folder / "trained").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--keep", "1"), "keep must be from 0 to below 1, not 1"),
        (("--set", "held_out=0"), "held_out=0 leaves no photos to measure on"),
    ],
)
def test_what_leaves_finetuning_nothing_to_show_is_refused(captioned, options, words):
    result = captioned("finetune", "captions.tsv", "--out", "mine", "--model", "tiny", *options)
    assert result.exit_code == 1
    assert f"error: {words}" in result.stderr
    assert not (captioned.folder / "mine").exists()
