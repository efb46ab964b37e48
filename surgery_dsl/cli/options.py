"""Options that several commands share."""

from collections.abc import Callable
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def plan_argument(many: bool = False) -> Decorator:
    """``PLAN``: one ``.surg`` file, or several."""
    return click.argument("plans" if many else "plan", nargs=-1 if many else 1, required=True, type=click.Path())


def settings() -> Decorator:
    """``--set NAME=VALUE``, the only way to change what a plan says."""
    return click.option(
        "--set", "sets", multiple=True, metavar="NAME=VALUE", help="Give a param of the plan another value."
    )


def grants() -> Decorator:
    """``--allow-code``: which user code may run."""
    return click.option(
        "--allow-code",
        multiple=True,
        metavar="MODULE:FUNCTION",
        help="Let the plan run this code (a glob such as digits:*); a plan cannot grant itself.",
    )


def output_format() -> Decorator:
    """``--output-format text|json`` and ``--color``."""

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        function = click.option(
            "--output-format", type=click.Choice(["text", "json"]), default="text", show_default=True
        )(function)
        return click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto")(function)

    return wrap


def parse_sets(sets: tuple[str, ...]) -> dict[str, str]:
    """Turn ``NAME=VALUE`` words into a mapping; raise ``click.UsageError`` for one without ``=``."""
    pairs: dict[str, str] = {}
    for text in sets:
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise click.UsageError(f"--set takes NAME=VALUE, not {text!r}")
        pairs[name.strip()] = value.strip()
    return pairs
