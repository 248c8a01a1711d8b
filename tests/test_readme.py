"""README and program agree: commands and options, the quick start, and the figures of the bundled model."""

import re

from documented_commands import README, shell_lines

from cocasearch.paths import bundled_model_folder

FIGURES = [README, README.with_name("docs") / "results.md"]


def text_of(page=README):
    return page.read_text(encoding="utf-8")


def test_quick_start_runs(photo_folder, monkeypatch, capsys):
    (code,) = re.findall(r"^```python\n(.*?)^```", text_of(), re.DOTALL | re.MULTILINE)
    monkeypatch.chdir(photo_folder.parent)
    exec(compile(code, "README.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_figures_are_those_of_the_model_card():
    card = text_of(bundled_model_folder() / "README.md")
    for page in FIGURES:
        rows = [line.split("|")[2] for line in text_of(page).splitlines() if "`cocasearch eval" in line]
        figures = [figure for row in rows for figure in re.findall(r"\d+\.\d+", row)]
        assert len(figures) >= 11, page
        assert [figure for figure in figures if figure not in card] == [], page


def test_every_figure_is_among_those_of_the_results():
    """What README says of speed and training stands on the pages, too, where its conditions are."""
    pages = "".join(text_of(page) for page in README.with_name("docs").rglob("*.md"))
    (table,) = re.findall(r"^## Figures\n(.*?)^## ", text_of(), re.DOTALL | re.MULTILINE)
    figures = [figure for row in re.findall(r"^\|.*", table, re.MULTILINE) for figure in re.findall(r"\d+\.\d+", row)]
    assert len(figures) >= 14
    assert [figure for figure in figures if figure not in pages] == []


def test_it_says_how_to_begin_and_to_install():
    lines = [line.split("#")[0].split() for line in shell_lines(README)]
    assert lines[:2] == [["make", "demo"], ["make", "test"]]
    installs = [line for line in lines if line[:1] in (["pip"], ["pipx"], ["uv"])]
    assert {line[0] for line in installs} == {"pip", "pipx", "uv"}
    assert all("constraints.txt" in " ".join(line) for line in installs)
    assert re.search(r"## Licence\n.*weights are not covered", text_of(), re.DOTALL)


def test_readme_is_short():
    assert len(text_of().splitlines()) <= 160
