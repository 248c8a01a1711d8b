"""The ladder of the package: each rung imports rungs below it, never above, never beside; lazy imports count."""

import ast
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import cocasearch

PACKAGE = Path(cocasearch.__file__).parent
LADDER = [
    {"cli"},
    {"web"},
    {"training"},
    {"evaluation"},
    {"search"},
    {"indexing"},
    {"inference"},
    {"checkpoints"},
    {"model"},
    {"captioned_data"},
    {"images", "text", "lock"},
    {"atomic_files", "byte_range", "counting", "interruption", "json_values", "paths"},
    {"errors"},
]
HEIGHT = {rung: -floor for floor, rungs in enumerate(LADDER) for rung in rungs}
FACADE = {"__init__", "__main__"}  # the public names, above all rungs


def module_name(file: Path) -> str:
    parts = ("cocasearch", *file.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(file): file for file in sorted(PACKAGE.rglob("*.py"))}
RUNG_MODULES = [module for module, file in MODULES.items() if file.parent != PACKAGE or file.stem not in FACADE]


def rung(module: str) -> str:
    return module.split(".")[1]


def imports(module: str) -> Iterator[str]:
    """Every cocasearch module that a module names, wherever in its text."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "cocasearch")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if (node.module or "").split(".")[0] == "cocasearch" and alias.name != "__version__":
                    yield inner if inner in MODULES else str(node.module)


def test_every_top_level_module_has_a_rung():
    assert {rung(module) for module in RUNG_MODULES} <= set(HEIGHT)


@pytest.mark.parametrize("module", RUNG_MODULES)
def test_imports_go_down_the_ladder(module):
    here = rung(module)
    for target in imports(module):
        assert target != "cocasearch", f"{module} imports the public names, which stand above it"
        assert rung(target) == here or HEIGHT[rung(target)] < HEIGHT[here], f"{module} imports {target}"


@pytest.mark.parametrize("folder", sorted({file.parent for file in MODULES.values()}), ids=lambda folder: folder.name)
def test_a_room_has_few_doors(folder):
    assert len([file for file in folder.glob("*.py") if file.stem != "__init__"]) <= 15


def test_a_name_means_one_module():
    names = Counter(file.stem for file in MODULES.values() if file.stem not in {"__init__", "config"})
    assert [name for name, count in names.items() if count > 1] == []


def test_no_module_imports_itself_in_a_circle():
    graph = {module: set(imports(module)) - {module} for module in RUNG_MODULES}
    assert list(TopologicalSorter(graph).static_order())
