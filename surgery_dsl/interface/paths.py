"""Dotted paths of modules."""

from collections.abc import Iterable, Mapping

ANY = "*"
"""Stands for the number in the path of a list whose entries have a name before it: ``experts.expert_*``."""


def entry_prefix(path: str) -> str:
    """Return what the paths of a list's entries have before their number."""
    if path.endswith(ANY):
        return path[: -len(ANY)]
    return path + "." if path else ""


def list_holder(path: str) -> tuple[str, str]:
    """Return the path of the module that holds a list's entries, and what their names have before the number."""
    if not path.endswith(ANY):
        return path, ""
    holder, _, name = path.rpartition(".")
    return holder, name.removesuffix(ANY)


def entry_number(path: str, name: str) -> int:
    """Return the number of the entry of a list that a module below it belongs to."""
    return int(name.removeprefix(entry_prefix(path)).partition(".")[0])


def length_of(path: str, children: Mapping[str, Iterable[str]]) -> int:
    """Return how many entries a list has, given the paths of the modules below each module."""
    prefix = entry_prefix(path)
    below = children.get(list_holder(path)[0], ())
    return sum(child.startswith(prefix) and child[len(prefix) :].isdecimal() for child in below)


def list_path(prefix: str) -> str:
    """Return the path of the list whose entries have ``prefix`` before their number."""
    return prefix + ANY if prefix and not prefix.endswith(".") else prefix.removesuffix(".")


def common(paths: Iterable[str]) -> str:
    """Return the path of the innermost module that all of some paths lie in, or are; empty for the network itself."""
    shared: list[str] = []
    for level in zip(*(path.split(".") if path else [] for path in paths), strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    return ".".join(shared)
