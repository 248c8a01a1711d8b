"""Models get here from a hub or a file, are listed with what they are good at, and are chosen when none is named."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from hub_server import Hub, serving, use
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from seeded_openclip import seeded_weights
from small_checkpoint import SMALL_CONFIG, small_weights

from cocasearch import Embedder, load_model
from cocasearch.checkpoints.hub.catalogue import COCO, LAION
from cocasearch.model.config import presets

WEIGHTS = "open_clip_pytorch_model.bin"
B_32 = "laion/CoCa-ViT-B-32-laion2B-s13B-b90k"


@pytest.fixture(scope="module")
def small_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("published") / WEIGHTS
    torch.save(small_weights(), file)
    return file


@pytest.fixture
def hub(small_file):
    with serving() as hub:
        content = {WEIGHTS: small_file.read_bytes(), "open_clip_config.json": json.dumps(SMALL_CONFIG).encode()}
        hub.repositories["someone/small-coca"] = content
        yield hub


class Machine:
    """A machine of its own, with the hub for a network: what is set in the environment is read at the start."""

    def __init__(self, folder, hub: Hub):
        self.models = folder / "home" / "models"
        self.environment = {
            **os.environ,
            "HF_ENDPOINT": hub.endpoint,
            "HF_HOME": str(folder / "hub"),
            "HF_HUB_OFFLINE": "0",
            "COCASEARCH_HOME": str(folder / "home"),
        }

    def start(self, *args, **environment):
        command = [sys.executable, "-m", "cocasearch", *args]
        return subprocess.Popen(
            command, env=self.environment | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def __call__(self, *args, **environment):
        running = self.start(*args, **environment)
        stdout, stderr = running.communicate(timeout=120)
        assert "Traceback" not in stderr
        return subprocess.CompletedProcess(args, running.returncode, stdout, stderr)


@pytest.fixture
def machine(tmp_path, hub):
    return Machine(tmp_path, hub)


def test_a_repository_is_pulled_once_and_needs_no_hub_then(machine, hub):
    pulled = machine("models", "pull", "someone/small-coca")
    assert pulled.returncode == 0, pulled.stderr
    assert "small-coca is here: " in pulled.stderr
    assert pulled.stdout == ""
    other = machine("models", "pull", "someone/small-coca", "--name", "other", HF_HUB_OFFLINE="1")
    assert other.returncode == 0, other.stderr
    assert hub.downloads == [None]
    assert sorted(folder.name for folder in machine.models.iterdir()) == ["other", "small-coca"]


def test_a_pulled_model_says_where_it_is_from_and_is_used(online):
    assert online("models", "pull", "someone/small-coca").exit_code == 0
    described = json.loads(online("models", "info", "small-coca", "--json").stdout)
    assert described["provenance"]["repository"] == "someone/small-coca"
    assert len(described["provenance"]["sha256"]) == 64
    assert described["preprocessing"]["mean"] == [0.5, 0.5, 0.5]
    assert "there is a model 'small-coca' already" in online("models", "pull", "someone/small-coca").stderr
    assert online("models", "pull", "someone/small-coca", "--force").exit_code == 0
    indexed = online("index", "photos", "--model", "small-coca", "--no-captions")
    assert indexed.exit_code == 0
    assert "using coca-mini" not in indexed.stderr


REFUSALS = {
    "a broken connection": (lambda hub: hub.cut_after.extend([0] * 7), "the download broke off at 0.0 MB of 6."),
    "a wrong checksum": (lambda hub: hub.wrong_sums.add(WEIGHTS), "did not have the checksum that the hub announces"),
    "a login": (lambda hub: setattr(hub, "status", 401), "hint: HF_TOKEN="),
    "a hub out of order": (lambda hub: setattr(hub, "status", 500), "at the moment (500)"),
    "no such repository": (lambda hub: hub.repositories.clear(), "there is no someone/small-coca at "),
    "no config": (
        lambda hub: hub.repositories["someone/small-coca"].pop("open_clip_config.json"),
        "does not say what it is: it has no open_clip_config.json",
    ),
    "no weights": (
        lambda hub: hub.repositories["someone/small-coca"].pop(WEIGHTS),
        "has no open_clip_model.safetensors and no open_clip_pytorch_model.bin",
    ),
    "half a file": (
        lambda hub: hub.repositories["someone/small-coca"].update({WEIGHTS: b"PK" + b"\3" * 999}),
        "is cut off or damaged",
    ),
}


@pytest.fixture
def online(prompt, hub, tmp_path, monkeypatch):
    """The prompt, in a process that asks `hub`."""
    use(hub, tmp_path / "hub-cache", monkeypatch)
    return prompt


@pytest.mark.parametrize(("spoil", "sentence"), REFUSALS.values(), ids=REFUSALS)
def test_whatever_keeps_a_model_away_is_one_sentence_and_leaves_nothing(online, hub, spoil, sentence):
    spoil(hub)
    result = online("models", "pull", "someone/small-coca")
    assert result.exit_code == 1
    assert sentence in result.stderr
    assert [entry.name for entry in (online.folder / "home" / "models").iterdir()] == ["tiny"]


def test_a_published_model_is_asked_for_where_it_is(online, hub, small_file, monkeypatch):
    hub.repositories[B_32] = {WEIGHTS: small_file.read_bytes()}
    result = online("models", "pull", "coca_ViT-B-32", "laion2B-s13B-b90k")
    assert result.exit_code == 1
    assert "coca_ViT-B-32: 1.01 GB from laion/CoCa-ViT-B-32-laion2B-s13B-b90k" in result.stderr
    assert "is (32,), not (768,)" in result.stderr  # what is served here is not what LAION serves
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    offline = online("models", "pull", "coca_ViT-L-14").stderr
    assert "HF_HUB_OFFLINE forbids" in offline
    assert f"models import {WEIGHTS} --arch coca_ViT-L-14 --name coca_ViT-L-14" in offline
    assert [entry.name for entry in (online.folder / "home" / "models").iterdir()] == ["tiny"]


def test_ctrl_c_keeps_what_was_downloaded(machine, hub, tmp_path):
    hub.repositories["someone/small-coca"][WEIGHTS] += bytes(40_000_000)
    hub.pause_after = 25_000_000
    running = machine.start("models", "pull", "someone/small-coca")
    while not any(file.stat().st_size for file in tmp_path.rglob("*.incomplete")) and running.poll() is None:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, stderr = running.communicate(timeout=60)
    hub.go_on.set()
    assert running.returncode == 130, stderr
    assert "the same command goes on from there" in stderr
    (partial,) = tmp_path.rglob("*.incomplete")
    kept = partial.stat().st_size
    assert kept >= 10_000_000
    machine("models", "pull", "someone/small-coca")
    assert hub.downloads == [None, f"bytes={kept}-"]


def test_a_file_is_imported_and_embeds(prompt, small_file, tmp_path):
    (tmp_path / "small.json").write_text(json.dumps(SMALL_CONFIG))
    result = prompt(
        "models", "import", str(small_file), "--arch", "small.json", "--name", "mine", "--dtype", "bfloat16"
    )
    assert result.exit_code == 0, result.stderr
    assert "mine is here: " in result.stderr
    assert Embedder(load_model("mine")).embed_texts(["a dog"]).shape == (1, 16)
    size = json.loads(prompt("models", "list", "--json").stdout)
    assert 3 < next(model["megabytes"] for model in size if model["name"] == "mine") < 6
    assert prompt("models", "import", str(small_file), "--arch", "small.json", "--name", "mine").exit_code == 1
    assert prompt("models", "import", str(small_file), "--arch", "small.json", "--name", "../mine").exit_code == 2
    assert prompt("models", "import", str(small_file), "--arch", "small.json", "--name", "coca-mini").exit_code == 2


def test_the_list_shows_what_is_here_and_what_could_be(prompt):
    result = prompt("models", "list")
    lines = {line.split()[0]: line for line in result.stdout.splitlines()}
    assert "yes" in lines["coca-mini"]
    assert "yes" in lines["tiny"]
    assert "no" in lines["coca_ViT-L-14"].split()
    assert "2.55 GB" in lines["coca_ViT-L-14"]
    assert "captions and search, the best at both together" in lines["coca_ViT-L-14"]
    assert "ImageNet 0.79 %" in result.stderr
    assert "cocasearch models pull coca_ViT-L-14\n" in result.stderr
    models = {model["name"]: model for model in json.loads(prompt("models", "list", "--json").stdout)}
    assert models["coca_ViT-L-14"]["published"]["figures"]["coco_cider"] == 125.3
    assert [name for name, model in models.items() if model["here"]] == ["coca-mini", "tiny"]


def test_a_model_that_is_not_here_can_be_looked_at(prompt):
    result = prompt("models", "info", "coca_vit_b_32-mscoco_finetuned_laion2b-s13b-b90k")
    assert "repository laion/mscoco_finetuned_CoCa-ViT-B-32-laion2B-s13B-b90k" in result.stdout
    assert "warning: " in result.stderr
    assert f"cocasearch models pull coca_ViT-B-32-{COCO}" in result.stderr


def test_without_a_name_the_best_model_here_is_taken_and_said(prompt):
    taken = prompt("caption", "photos", "--format", "json", "--strategy", "greedy", "--max-length", "6")
    assert taken.stderr.count("using coca-mini") == 1
    assert "cocasearch models list" in taken.stderr
    assert json.loads(taken.stdout)
    models = prompt.folder / "home" / "models"
    (models / "tiny").rename(models / "coca_ViT-B-32")
    config = json.loads((models / "coca_ViT-B-32" / "config.json").read_text())
    config["provenance"] = {"imported_from": WEIGHTS, "architecture": "coca_ViT-B-32"}
    (models / "coca_ViT-B-32" / "config.json").write_text(json.dumps(config))
    assert "using coca_ViT-B-32, the best model here" in prompt("index", "photos").stderr
    assert "with " not in prompt("index", "photos").stderr  # the index has its own by now
    again = prompt("caption", "photos", "--strategy", "greedy", "--max-length", "6")
    assert again.exit_code == 0 and "with " not in again.stderr  # told once


def test_a_trained_model_is_told_on_a_screen(prompt):
    result = prompt("models", "info")  # trained with a hundred settings
    assert len(result.stdout.splitlines()) <= 24
    assert "training: 83 values" in result.stdout and "started_from: name " in result.stdout
    assert "--json" in result.stderr


def test_a_model_that_finds_nothing_is_warned_about_when_it_is_used(prompt):
    models = prompt.folder / "home" / "models"
    (models / "tiny").rename(models / f"coca_ViT-B-32-{COCO}")
    indexed = prompt("index", "photos", "--model", f"coca_ViT-B-32-{COCO}")
    assert "warning: " in indexed.stderr
    assert "written  beam, num_beams 5, rerank 0.0" in prompt("status").stdout
    found = prompt("query", "a red square", "--format", "json")
    assert found.stderr.count("warning: ") == 1
    assert json.loads(found.stdout)


@pytest.mark.parametrize(
    ("line", "exit_code", "words"),
    [
        ("models pull nope", 1, "there is no published model 'nope'; choose among coca_ViT-L-14, coca_ViT-B-32"),
        ("models pull coca_ViT-L-14 openai", 1, f"published as {COCO} and {LAION}, not as 'openai'"),
        ("models pull coca_ViT-L-14 --name mine", 2, "--arch, --text-config and --name are for a repository"),
        ("models pull -- -someone/small,coca", 1, "'-someone/small,coca' cannot be a repository: letters, digits"),
        ("models pull someone/.small --arch coca_ViT-B-32", 1, "'someone/.small' cannot be a repository"),
        ("models pull someone/small-coca main", 2, "a TAG is for published models, not for repositories"),
        ("models import nowhere.bin --arch coca_ViT-L-14 --name mine", 1, "cannot read the weights nowhere.bin"),
        ("models import photos --arch ViT-L-14 --name mine", 1, "unknown architecture 'ViT-L-14'"),
        ("index photos --model coca_ViT-L-14", 1, "hint: cocasearch models pull coca_ViT-L-14"),
        ("index photos --model nope --dry-run", 1, "error: unknown model 'nope'; there are: coca-mini, tiny"),
    ],
)
def test_mistakes_are_told_in_one_sentence(prompt, line, exit_code, words):
    result = prompt(*line.split())
    assert result.exit_code == exit_code
    assert words in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


@pytest.mark.soak
def test_the_real_size_is_pulled_and_gives_openclips_numbers(machine, hub, tmp_path):
    weights = seeded_weights(presets()["coca_ViT-B-32"], 11, 1.2, 49407)
    save_file({key: value.contiguous() for key, value in weights.items()}, tmp_path / "weights")
    hub.repositories[B_32] = {"open_clip_model.safetensors": (tmp_path / "weights").read_bytes()}
    hub.cut_after = [400_000_000, 300_000_000]
    result = machine("models", "pull", "coca_ViT-B-32")
    assert result.returncode == 0, result.stderr
    assert "new indexes use it from now on" in result.stderr
    assert len(hub.downloads) == 3
    golden = load_file(Path(__file__).parents[3] / "golden" / "openclip" / "coca_ViT-B-32.safetensors")
    model = load_model(machine.models / "coca_ViT-B-32", device="cpu", dtype="float32").model
    pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(111))
    torch.testing.assert_close(model.encode_image(pixels), golden["image_features"], atol=1e-5, rtol=0)
    torch.testing.assert_close(model.encode_text(golden["text"]), golden["text_features"], atol=1e-5, rtol=0)


def test_what_a_model_lacks_is_not_listed(prompt):
    described = json.loads(prompt("models", "info", "coca_ViT-B-32", "--json").stdout)
    assert (described["path"], described["published"]["warning"]) == (None, None)
    lines = prompt("models", "info", "coca_ViT-B-32").stdout.splitlines()
    assert "None" not in " ".join(lines) and not any(line.endswith(":") for line in lines)
    assert any(line.startswith("good_at: ") for line in lines)
