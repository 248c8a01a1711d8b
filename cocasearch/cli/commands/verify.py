"""`cocasearch verify`: whether an index holds together, and what can be done where it does not."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cocasearch.cli import console
from cocasearch.cli.options.option_groups import index_option
from cocasearch.cli.options.shared_options import AsJson, IndexName
from cocasearch.counting import pluralize
from cocasearch.errors import CocaSearchError
from cocasearch.indexing.repair.problems import ABSENT_FOLDERS
from cocasearch.indexing.store.manifest import DEFAULT_INDEX, follow_command, index_command, index_name
from cocasearch.paths import index_folder

if TYPE_CHECKING:
    from cocasearch.indexing.repair.problems import Problem
    from cocasearch.indexing.repair.verification import Verification


def verify(
    name: IndexName = DEFAULT_INDEX,
    repair: Annotated[
        bool,
        index_option(
            "--repair", help="Rebuild what is derived from the table, or go back to an older version of a damaged one."
        ),
    ] = False,
    content: Annotated[
        bool,
        index_option("--content", help="Read all photos too, to find those that changed without a new size or time."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check an index: its table, manifest, photos, unreadable files, and all that is derived for searching.

    Photos that have changed or gone since the last run are listed, but are no error.
    """
    from cocasearch.indexing.repair.verification import verify_index

    index = index_folder(name)
    with console.progress("verifying", "rows") as advance:
        verification = verify_index(index, repair=repair, content=content, progress=advance)
    if as_json:
        problems = [asdict(problem) for problem in verification.problems]
        console.write_json(
            {"index": index_name(index), "rows": verification.rows, "ok": verification.ok, "problems": problems}
        )
    else:
        console.write_lines(*map(_line, verification.problems))
    _conclude(verification, index)


def _line(problem: "Problem") -> str:
    ending = "; repaired" if problem.repaired else ""
    examples = ", ".join(map(console.shown, problem.examples))
    return f"{problem.part}: {problem.what}: {problem.count:,} ({examples}{', …' * (problem.count > 3)}){ending}"


def _conclude(verification: "Verification", index: "Path") -> None:
    name = index_name(index)
    if verification.ok:
        console.report(f"index '{name}' with {pluralize(verification.rows, 'row')} is in order")
        if absent := next((problem for problem in verification.problems if problem.what == ABSENT_FOLDERS), None):
            console.report(f"photos are not where they were; {follow_command(index, Path(absent.examples[0]))}")
        elif any(problem.remedy == "index" for problem in verification.problems):
            console.report(f"it is behind its photos: {index_command(index)}")
        return
    remedies = {problem.remedy for problem in verification.problems if not problem.repaired}
    if remedies <= {"index", "touch"}:
        hint = f"put them back if that was not meant; if it was, touch them, then: {index_command(index)}"
        raise CocaSearchError(f"photos of index '{name}' have changed unseen", hint=hint)
    lasting = "rebuild" in remedies
    mended_by = index_command(index, "--rebuild") if lasting else index_command(index, "--repair", command="verify")
    what = "something that only a new table mends" if lasting else "something that can be repaired"
    raise CocaSearchError(f"index '{name}' has {what}", hint=mended_by)
