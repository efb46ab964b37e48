"""Naming the layers that a number comes from."""

from collections.abc import Mapping

from surgery_dsl.vocabulary.context import Runtime

MOST = 3
"""How many layers are named."""


def remark_on(counts: Mapping[str, int], runtime: Runtime) -> None:
    """Say in which layers the units are that were counted, the fullest first."""
    found = sorted(((count, path) for path, count in counts.items() if count), key=lambda one: (-one[0], one[1]))
    if found:
        more = f" and {len(found) - MOST} more" if len(found) > MOST else ""
        runtime.remark(", ".join(f"{count} in `{path}`" for count, path in found[:MOST]) + more)


def remark_worst(values: Mapping[str, float], runtime: Runtime, *, least: bool = False) -> None:
    """Say where the greatest number was found, or the least."""
    if values:
        path = (min if least else max)(values, key=lambda one: values[one])
        runtime.remark(f"{'least' if least else 'most'} in `{path}`")


def greatest(values: Mapping[str, float]) -> float:
    """Return the greatest number, 0 of none; NaN where one is."""
    return next((value for value in values.values() if value != value), max(values.values(), default=0.0))
