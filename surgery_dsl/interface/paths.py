"""Dotted paths of modules."""

from collections.abc import Iterable


def common(paths: Iterable[str]) -> str:
    """Return the path of the innermost module that all of some paths lie in, or are; empty for the network itself."""
    shared: list[str] = []
    for level in zip(*(path.split(".") if path else [] for path in paths), strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    return ".".join(shared)
