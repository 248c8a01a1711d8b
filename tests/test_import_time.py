"""Asking for help must not pay for the model: no command's `--help` imports what takes seconds."""

import subprocess
import sys

import pytest

HEAVY = {"torch", "faiss", "lancedb", "pyarrow", "tokenizers", "huggingface_hub"}
HELP = """
import sys
from cocasearch.__main__ import main
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""
QUERY = HELP.replace("finally:", "except SystemExit as end:\n    assert end.code in (0, 3), end.code\nfinally:")


def modules_after(code: str, *args: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize("args", ["--help", "--version", "index --help", "query --help", "train --help"])
def test_help_imports_nothing_heavy(args):
    modules = modules_after(HELP, *args.split())
    assert "cocasearch.cli.app" in modules
    assert not modules & HEAVY


def test_importing_the_package_imports_nothing_heavy():
    assert not modules_after("import sys, cocasearch; print(*sys.modules, file=sys.stderr)") & HEAVY


def test_a_query_imports_no_more_than_it_needs(tmp_path, photo_folder, tiny_model_folder):
    model, index = ("--model", str(tiny_model_folder)), ("--index", str(tmp_path / "index"))
    subprocess.run([sys.executable, "-m", "cocasearch", "index", str(photo_folder), *model, *index], check=True)
    for query, left_alone in (
        (("red", *model), {"lancedb"}),
        (("red", "--text-only"), {"torch", "tokenizers"}),
        (("--where", "width > 0"), {"torch", "tokenizers"}),
    ):
        modules = modules_after(QUERY, "query", *query, *index)
        assert "cocasearch.search.searcher" in modules
        assert not modules & left_alone
