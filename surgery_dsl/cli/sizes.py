"""Sizes in bytes as options take them: ``500MB``, ``4GiB``, or a bare number of bytes."""

import re

import click

_UNITS = {
    "": 1,
    "B": 1,
    **{f"{prefix}B": 1000**power for power, prefix in enumerate("KMGT", 1)},
    **{f"{prefix}iB": 1024**power for power, prefix in enumerate("KMGT", 1)},
}
_FORM = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")


def byte_size(_context: click.Context, _parameter: click.Parameter, value: str) -> int:
    """Read the size that an option gives; raise ``click.BadParameter`` where it is none."""
    match = _FORM.fullmatch(value)
    size = int(float(match[1]) * _UNITS.get(match[2], 0)) if match else 0
    if size < 1:
        raise click.BadParameter(f"{value!r} is no size in bytes: write 5GB, 500MB or 4GiB")
    return size
