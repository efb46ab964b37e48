"""``surgery-dsl plan PLAN``."""

from pathlib import Path
from typing import Literal

import click

from surgery_dsl.cli.options import grants, output_format, parse_sets, plan_argument, settings


@click.command()
@plan_argument()
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Save the plan: `apply FILE` runs it as it is.",
)
@settings()
@click.option("--dtype", type=click.Choice(["f16", "bf16", "f32", "f64"]), help="Floating dtype of a saved plan's run.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of a saved plan's run.")
@click.option("--allow-undecided", is_flag=True, help="Let a saved plan's run decide what no proof decides.")
@grants()
@click.option("--strict", is_flag=True, help="Let warnings fail the check.")
@output_format()
def command(
    plan: str,
    output: Path | None,
    sets: tuple[str, ...],
    dtype: Literal["f16", "bf16", "f32", "f64"] | None,
    seed: int,
    allow_undecided: bool,
    allow_code: tuple[str, ...],
    strict: bool,
    output_format: str,
    color: str,
) -> None:
    """Show what a plan would change, before and after, each change with its reason."""
    from surgery_dsl.cli.output import emit, exit_code_of, few_of_each, finish, progress, show
    from surgery_dsl.cli.plan_text import preview_json, preview_text
    from surgery_dsl.diagnostics.render_json import render_json
    from surgery_dsl.run.planning import plan as make

    values = parse_sets(sets)
    planned = make(
        plan,
        output,
        sets=values,
        allow_code=allow_code,
        dtype=dtype,
        seed=seed,
        allow_undecided=allow_undecided,
        progress=progress,
    )
    found = few_of_each(planned.diagnostics)
    code = exit_code_of(found, strict)
    if output_format == "json":
        emit({**preview_json(planned), **render_json(found), "exit_code": code})
    elif planned.preview is not None:
        show(preview_text(planned))
        if planned.saved is not None:
            show(f"saved: {planned.saved}", err=True)
    finish(found, {plan: planned.checked.text}, output_format, color, code)
