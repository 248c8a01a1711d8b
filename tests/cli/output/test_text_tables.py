"""Every table of the command line at every width: all of it is there, or a note names the columns that are not."""

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from cocasearch.checkpoints.confidence_file import ConfidenceModel, ReliabilityBin
from cocasearch.cli import console
from cocasearch.cli.commands import evaluate, probe
from cocasearch.cli.commands.models import calibrate
from cocasearch.cli.output import proof
from cocasearch.cli.output import text_tables as tables
from cocasearch.evaluation.benchmark import EvaluationReport
from cocasearch.evaluation.calibration import Calibration
from cocasearch.evaluation.caption_metrics import CaptionScores
from cocasearch.evaluation.comparison import ComparedFigure
from cocasearch.evaluation.hallucination import Hallucination, HallucinationReport
from cocasearch.evaluation.linear_probe import Accuracy
from cocasearch.evaluation.retrieval_metrics import Recall, RetrievalScores
from cocasearch.training.model.interpolation_curve import CurvePoint

WIDTHS = (60, 80, 100, 120, 140, 200)

SCORES = RetrievalScores(*[Recall({1: 0.0291, 5: 0.9134, 10: 0.9876}, 12345.5)] * 2)
OFTEN = Hallucination(0.3174, 0.2315, 12345, 0.4567)
COMPARED = [
    ComparedFigure(f"{way} recall@{k}", 0.029, (0.0134, 0.0451), 0.913, (0.8512, 0.9534), (-0.8134, 0.9223))
    for way in ("text to image", "image to text")
    for k in (1, 10)
]
BINS = tuple(ReliabilityBin(low / 10, (low + 1) / 10, 1234, 0.4567, 0.3456) for low in range(10))
CALIBRATION = Calibration(
    ConfidenceModel(0.1, (1, 1, 1), (0, 0, 0), (1, 1, 1), {}, "1" * 16, 1234, "2" * 16, BINS),
    *(0.5, 0.4, 0.7, 0.03, OFTEN, OFTEN, ()),
)
REPORT = EvaluationReport(
    "m", 9, 9, SCORES, CaptionScores(0.123, 0.456, 1.253, 98765), (), None, HallucinationReport(OFTEN, OFTEN, 0.4)
)
ACCURACY = Accuracy(0.123, (0.111, 0.222), 0.333, 0.444, (0.401, 0.499))
CURVE = [CurvePoint(keep, SCORES, SCORES, is_gentle=True) for keep in (0.0, 0.1, 1.0)]


COMMANDS = [
    ("query", "a red square"),
    ("query", "a red square", "--hybrid"),
    ("query", "--where", "width > 0"),
    ("caption", "Pictures", "--model", "tiny", "--strategy", "greedy"),
    ("models", "list"),
]
OTHERS = {
    "eval": lambda: evaluate._print(REPORT),
    "calibrate": lambda: calibrate._print("m", CALIBRATION),
    "probe": lambda: console.write_table([probe._row("linear classifier", ACCURACY)]),
    "finetune": lambda: proof._print_figures(COMPARED),
    "finetune's curve": lambda: console.write_table([proof._curve_row(point) for point in CURVE]),
}


@pytest.fixture
def far(prompt):
    """An index of photos far down, with spaces, letters of two cells, and what others take for an emoji."""
    deep = prompt.folder / "Pictures" / "2019" / "Summer in Italy with :cat: and 東京"
    deep.parent.mkdir(parents=True)
    (prompt.folder / "photos").rename(deep)
    assert prompt("index", "Pictures", "--model", "tiny").exit_code == 0
    return prompt


@pytest.fixture
def drawn(monkeypatch):
    """What is drawn of tables from now on, in place of the drawing: their cells, and how."""
    found = []
    monkeypatch.setattr(console.tables, "draw", lambda rows, page, **how: found.append((rows, how)) or [])
    return found


def check(rows, how, draw=tables.draw):
    for width in WIDTHS:
        page = Console(file=io.StringIO(), width=width, markup=False, emoji=False)
        lines = draw(rows, page, **how)
        note = lines[-1] if lines[-1].startswith("no room here for ") else ""
        words = {word for line in lines for word in line.split()}
        unbroken = words.union(row.get("path", "") for row in rows)
        assert max(map(cell_len, lines)) <= max(width, max(map(cell_len, unbroken)) + len("  caption: "))
        for row in rows:
            for name, cell in row.items():
                is_prose = name != "path" and cell_len(cell) > 20
                if name.replace("_", " ") not in note:
                    assert any(cell in line for line in lines) or (is_prose and words.issuperset(cell.split())), cell


def test_no_width_cuts_what_a_command_tells(far, drawn):
    for command in COMMANDS:
        assert far(*command).exit_code == 0
    assert len(drawn) == len(COMMANDS)
    for rows, how in drawn:
        check(rows, how)


@pytest.mark.parametrize("show", OTHERS.values(), ids=OTHERS)
def test_no_width_cuts_a_figure(drawn, show):
    show()
    for rows, how in drawn:
        check(rows, how)


def test_what_may_go_goes_from_the_right_and_is_named():
    rows = [{"figure": "recall@1", "before_95 %": "0.100 to 0.200", "after_95 %": "0.300 to 0.400"}]
    page = Console(file=io.StringIO(), width=30)
    lines = tables.draw(rows, page, numbers=(), may_go=("before_95 %", "after_95 %"))
    assert lines[-2:] == ["recall@1  0.100 to 0.200", "no room here for after 95 %; --json shows all"]


def test_a_row_that_fits_no_line_is_stacked():
    page = Console(file=io.StringIO(), width=20)
    row = {"score": "0.512", "path": "a long/way down.jpg", "caption": "a dog that runs after a ball"}
    assert tables.draw([row], page, numbers=("score",)) == [
        *("score: 0.512", "  path: a long/way down.jpg", "  caption: a dog", "    that runs after", "    a ball")
    ]
