"""Whether a result may be written at a place. No torch: it is asked before anything else is done."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from surgery_dsl.diagnostics.codes import runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.shards import INDEX, WEIGHTS

OURS = ("surgery.json", "plan.surg")
"""Files that tell a result of ``apply`` from any other directory; weights stand there too, in one file or several."""


SEARCH = ("plan.surg", "plan.surg.lock", "search.json")
"""All files that ``search`` writes."""


def in_the_way(
    output: Path, force: bool, inputs: Iterable[Path] = (), command: Literal["apply", "search"] = "apply"
) -> Diagnostic | None:
    """Return why nothing may be written at ``output``; ``None`` where it may.

    ``force`` replaces an earlier result of the same command and nothing else: never a directory of other files, and
    never one that holds an input of the run.
    """
    for path in inputs:
        if path.resolve().is_relative_to(output.resolve()):
            return Diagnostic(
                runs.OUTPUT_IN_THE_WAY,
                f"`{output}` holds `{path.name}`, which the plan reads",
                help="write the result to a directory of its own",
            )
    if not output.exists() and not output.is_symlink():
        return None
    if not output.is_dir() or output.is_symlink():
        return Diagnostic(
            runs.OUTPUT_EXISTS, f"`{output}` exists and is no directory", help="choose another place with `-o`"
        )
    names = sorted(path.name for path in output.iterdir())
    if not names:
        return None
    if not force:
        return Diagnostic(
            runs.OUTPUT_EXISTS,
            f"`{output}` exists and is not empty",
            facts={"entries": len(names)},
            notes=(f"it holds {', '.join(f'`{name}`' for name in names[:5])}{' …' if len(names) > 5 else ''}",),
            help="choose another place with `-o`, or pass `--force` to replace an earlier result",
        )
    why = _other(names) if command == "apply" else _more(names)
    if why:
        return Diagnostic(
            runs.OUTPUT_IN_THE_WAY,
            f"`{output}` is not a result of `{command}` ({why}), so `--force` does not replace it",
            facts={"entries": len(names)},
            help="empty the directory yourself, or choose another place with `-o`",
        )
    return None


def _other(names: list[str]) -> str:
    """Return what a result of ``apply`` would have, and these files are not."""
    missing = [name for name in OURS if name not in names]
    if not missing and not {WEIGHTS, INDEX} & set(names):
        missing = [WEIGHTS]
    return f"it has no `{missing[0]}`" if missing else ""


def _more(names: list[str]) -> str:
    """Return what a folder has besides what ``search`` writes, or lacks of it."""
    other = [name for name in names if name not in SEARCH]
    missing = [name for name in SEARCH if name not in names]
    return f"it has `{other[0]}`" if other else f"it has no `{missing[0]}`" if missing else ""
