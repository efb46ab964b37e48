"""Earlier versions of a plan, from git."""

import subprocess
from pathlib import Path

from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.language.source import decode

TIMEOUT = 30
"""Seconds that git may take."""


def plan_at(revision: str, path: Path) -> str:
    """Return the text of a plan at a revision; git runs as a program, with a list of arguments.

    Raises:
        Refused: There is no git, no repository, no such revision, or no such file in it; or it is no text.
    """
    if not revision or revision.startswith("-") or ":" in revision or not revision.isprintable():
        raise Refused(_refused(path, f"`{revision}` is neither a file nor the name of a revision"))
    folder = path.parent if path.parent.is_dir() else Path()
    _git(folder, path, "it is in no git repository", "rev-parse", "--git-dir")
    _git(
        folder, path, f"there is no revision `{revision}`", "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"
    )
    data = _git(folder, path, f"`{path.name}` is not in revision `{revision}`", "show", f"{revision}:./{path.name}")
    text, found = decode(data, named(revision, path))
    if found:
        raise Refused(*found)
    return text


def named(revision: str, path: Path) -> str:
    """Return what a plan at a revision is called."""
    return f"{revision}:{path.name}"


def _git(folder: Path, path: Path, why: str, *arguments: str) -> bytes:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "--no-pager", *arguments], capture_output=True, check=False, timeout=TIMEOUT
        )
    except FileNotFoundError:
        raise Refused(_refused(path, "git is not installed")) from None
    except subprocess.TimeoutExpired:
        raise Refused(_refused(path, f"git did not answer within {TIMEOUT} seconds")) from None
    if done.returncode:
        raise Refused(_refused(path, why))
    return done.stdout


def _refused(path: Path, why: str) -> Diagnostic:
    return Diagnostic(
        trust.REVISION_UNREADABLE,
        f"there is nothing to compare `{path.name}` with: {why}",
        file=str(path),
        help=f"name a revision that has it (`git log --oneline -- {path.name}` lists them), or a file",
    )
