"""What a user does wrong: the exit code, and the words on stderr that help on; nothing on stdout, no traceback."""

import os
import stat
import sys
from types import ModuleType

import pytest

from cocasearch.__main__ import main

DONE, FAILED, USAGE, NOTHING = 0, 1, 2, 3

MISTAKES = {
    "no such folder": ("index nowhere --model tiny", FAILED, "no such file or folder: "),
    "empty folder": ("index empty --model tiny", NOTHING, "no photos found in"),
    "folder of texts": ("index texts --model tiny", NOTHING, "no photos found in"),
    "folder of broken photos": ("index broken --model tiny", NOTHING, "unreadable: broken/torn.jpg: truncated"),
    "unknown model": ("index photos --model tinny", FAILED, "unknown model 'tinny'; did you mean 'tiny'?"),
    "no model folder": ("index photos --model ./nowhere", FAILED, "cocasearch models list"),
    "index nothing": ("index", USAGE, "cocasearch index ~/Pictures"),
    "unnamed index": ("index photos --model tiny --index ''", USAGE, "a name is empty"),
    "no index yet": ("query sea", FAILED, "cocasearch index ./photos"),
    "no such index": ("query sea --index holiday", FAILED, "no index 'holiday'"),
    "no such example": ("query nope.jpg", FAILED, "no such file: nope.jpg"),
    "folder as example": ("query ./photos", FAILED, "is a folder"),
    "no term": ("query", USAGE, "say what to look for"),
    "empty term": ("query ''", FAILED, "a query term is empty"),
    "no hit wanted": ("query sea --top 0", USAGE, "--top"),
    "unknown format": ("query sea --format xml", USAGE, "'-f': 'xml' is not"),
    "file as folder": ("data sidecars pictures.csv -o a.csv", USAGE, "a file, not a folder: pictures.csv"),
    "no side-cars": ("data sidecars empty -o a.csv", FAILED, "cocasearch caption empty --sidecar"),
    "unknown option": ("query sea --threshold 1", USAGE, "No such option"),
    "unknown command": ("search sea", USAGE, "No such command 'search'"),
    "no data": ("eval nowhere.csv --model tiny", FAILED, "nowhere.csv"),
    "data without captions": ("eval pictures.csv --model tiny", FAILED, "--caption-key"),
    "caption nothing": ("caption empty --model tiny", NOTHING, "there are no photos in empty"),
    "caption nowhere": ("caption nowhere --model tiny", FAILED, "no such file or folder: nowhere"),
    "caption into a picture": ("caption photos --model tiny --out captions.png", FAILED, "--out captions.csv"),
    "caption into two": ("caption photos --model tiny --sidecar --out a.csv", USAGE, "cannot be used together"),
    "bad sampling": ("caption photos --model tiny --strategy sample --top-p 2", USAGE, "top_p is 2.0"),
    "unknown compat": ("caption photos --model tiny --compat blip", USAGE, "blip"),
    "compat of no captions": (
        "index photos --model tiny --compat openclip --no-captions",
        USAGE,
        "cannot be used together",
    ),
    "compat reranked": ("caption photos --compat openclip --rerank 2", USAGE, "OpenCLIP does not rerank captions"),
    "compat one beam": ("caption photos --compat openclip --num-beams 1", USAGE, "num_beams is 1"),
    "uneven groups": ("caption photos --compat openclip --num-beams 5", USAGE, "a divisor of num_beams, 5"),
    "groups of our own": ("caption photos --num-beam-groups 3", USAGE, "except with compat 'openclip'"),
    "nothing to show": ("status", FAILED, "cocasearch index"),
    "nothing known": ("models info nothing", FAILED, "unknown model 'nothing'"),
    "no training data": ("train nowhere.tsv --out model", FAILED, "nowhere.tsv"),
    "no tuning data": ("finetune nowhere.tsv --model tiny --out model", FAILED, "nowhere.tsv"),
}


@pytest.fixture
def desk(prompt):
    """A folder with everything that may go wrong."""
    for folder in ("empty", "texts", "broken"):
        (prompt.folder / folder).mkdir()
    (prompt.folder / "texts" / "a.txt").write_text("words")
    (prompt.folder / "broken" / "torn.jpg").write_bytes((prompt.folder / "photos" / "truncated.jpg").read_bytes())
    (prompt.folder / "pictures.csv").write_text("filepath,size\nphotos/red-square.jpg,1\n")
    return prompt


@pytest.mark.parametrize(("line", "exit_code", "words"), MISTAKES.values(), ids=MISTAKES)
def test_mistake_is_told_in_one_sentence(desk, line, exit_code, words):
    result = desk(*["" if word == "''" else word for word in line.split()])
    assert result.exit_code == exit_code, result.stderr
    assert words in result.stderr or words in " ".join(result.stderr.replace("│", " ").split())
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


PLACES = [
    "index ''",
    "index photos ''",
    "index photos --model ''",
    "remove ''",
    "reroot '' photos",
    "reroot photos ''",
    "export ''",
    "caption ''",
    "caption photos --out ''",
    "caption --index ''",
    "query --image ''",
    "query sea --model ''",
    "status --index ''",
    "eval ''",
    "probe ''",
    "train '' --out model",
    "train photos --out ''",
    "finetune ''",
    "data check ''",
    "data coco '' --out a.csv",
    "data coco photos --out a.csv --images ''",
    "models info ''",
    "models import '' --arch coca_ViT-B-32 --name a",
    "models import photos --arch coca_ViT-B-32 --name ''",
    "models mix '' --keep 0.5 --out model",
]


@pytest.mark.parametrize("line", PLACES)
def test_an_empty_place_is_refused(prompt, line):
    for empty in ("", " "):
        result = prompt(*[empty if word == "''" else word for word in line.split()])
        assert result.exit_code == USAGE, result.stderr
        assert "is empty" in result.stderr


@pytest.mark.parametrize("line", ["index X", "reroot photos X", "remove X", "export X", "query --image X"])
@pytest.mark.parametrize("path", ["x" * 300, "x/" * 3000])
def test_a_path_that_is_too_long_is_refused(prompt, line, path):
    result = prompt(*[path if word == "X" else word for word in line.split()])
    assert (result.exit_code, "the path is too long: " in result.stderr) == (USAGE, True), result.stderr


def test_a_photo_whose_name_is_a_space_is_no_empty_path(prompt):
    (prompt.folder / "photos" / "red-square.jpg").rename(prompt.folder / " ")
    assert "1 added" in prompt("index", " ", "--model", "tiny").stderr


def test_a_folder_that_must_exist_is_looked_for(prompt):
    result = prompt("data", "coco", "photos", "--out", "a.csv", "--images", "nowhere")
    assert (result.exit_code, "no such folder: nowhere" in result.stderr) == (USAGE, True)


def test_debug_shows_the_traceback(desk):
    result = desk("query", "nope.jpg", "--debug")
    assert result.exit_code == FAILED
    assert "Traceback" in result.stderr
    assert result.stderr.rstrip().endswith("cocasearch query --text nope.jpg")


def test_an_index_of_another_model_is_refused_with_the_command_that_rebuilds(indexed, tiny_coca, tiny_config):
    from cocasearch.checkpoints.model_folder import read_model_folder, save_model_folder

    models = indexed.folder / "home" / "models"
    stored = read_model_folder(models / "tiny")
    weights = {name: value + 0.01 for name, value in tiny_coca.state_dict().items()}
    save_model_folder(
        models / "other",
        weights,
        config=tiny_config,
        preprocess=stored.preprocess,
        tokenizer=stored.tokenizer,
        provenance={},
    )
    result = indexed("query", "sea", "--model", "other")
    assert result.exit_code == FAILED
    hint = result.stderr.split("hint: cocasearch ")[1].split()
    assert indexed(*hint).exit_code == DONE
    assert indexed("query", "sea", "--model", "other").exit_code == DONE


def test_ctrl_c_ends_with_130_and_says_how_to_go_on(desk, monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("cocasearch.inference.loaded_model.read_model_folder", interrupted)
    result = desk("index", "photos", "--model", "tiny")
    assert result.exit_code == 130
    assert "the same command goes on from there" in result.stderr


def test_ctrl_c_promises_nothing_of_a_command_that_begins_anew(indexed, monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("cocasearch.search.searcher.Searcher.search", interrupted)
    result = indexed("query", "sea")
    assert result.exit_code == 130 and result.stderr.endswith("\nstopped\n")


def test_help_breaks_its_lines_at_the_edge_of_the_terminal_alone(desk):
    lines = [line.strip() for line in desk("caption", "--help").stdout.splitlines()]
    start = next(at for at, line in enumerate(lines) if line.startswith("They are printed, or written into a file"))
    assert all(len(line) > 60 for line in lines[start : lines.index("", start) - 1])


def test_ctrl_c_while_the_program_starts_ends_with_130(monkeypatch):
    class Interrupted(ModuleType):
        def __getattr__(self, name):
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stderr", sys.stderr)
    monkeypatch.setitem(sys.modules, "cocasearch.cli.app", Interrupted("app"))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")
def test_a_pipe_is_neither_waited_for_nor_replaced(indexed):
    os.mkfifo(indexed.folder / "pipe.jpg")
    query = indexed("query", "--image", "pipe.jpg")
    assert (query.exit_code, "pipe.jpg is no file but a pipe or a device" in query.stderr) == (FAILED, True)
    os.mkfifo(indexed.folder / "pipe.csv")
    export = indexed("export", "pipe.csv", "--overwrite")
    assert (export.exit_code, "is no export of cocasearch's" in export.stderr) == (FAILED, True)
    assert stat.S_ISFIFO((indexed.folder / "pipe.jpg").stat().st_mode)


@pytest.mark.parametrize(
    "command",
    [
        ("query", "LONG.jpg"),
        ("query", "x", "--index", "LONG"),
        ("data", "check", "LONG"),
        ("eval", "{LONG,b}.csv"),
        ("models", "info", "LONG"),
        ("LONG",),
        ("query", "x", "--LONG"),
        ("index", "photos", "--model", "LONG"),
    ],
)
def test_no_message_is_long_whatever_it_quotes(prompt, command):
    result = prompt(*(word.replace("LONG", "long" * 5_000) for word in command))
    assert result.exit_code in (1, 2)
    assert "unexpected" not in result.stderr
    said = result.stderr[result.stderr.find("─ Error ─") :]  # how commands are used stands before it
    assert len(said.replace("─", "")) <= 450  # with a hint, or a frame
