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
