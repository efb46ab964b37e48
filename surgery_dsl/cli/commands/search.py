"""``surgery-dsl search PLAN -o FOUND``."""

import gc
from pathlib import Path
from typing import Literal

import click

from surgery_dsl.cli.options import grants, output_format, parse_sets, plan_argument, settings


@click.command()
@plan_argument()
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder to write; it must not exist yet."
)
@settings()
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:1.")
@click.option(
    "--dtype", type=click.Choice(["f16", "bf16", "f32", "f64"]), help="Floating dtype to compute and store in."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Mixed into every seed of the plan.")
@click.option("--force", is_flag=True, help="Replace an earlier search.")
@click.option("--allow-pickle", is_flag=True, help="Read weights that are pickles (they can run any code).")
@click.option(
    "--certify-seconds",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    help="Time for cutting the boxes of one certify line.",
)
@grants()
@click.option("--no-progress", is_flag=True, help="Show no progress on stderr.")
@output_format()
def command(
    plan: str,
    output: Path,
    sets: tuple[str, ...],
    device: str,
    dtype: Literal["f16", "bf16", "f32", "f64"] | None,
    seed: int,
    force: bool,
    allow_pickle: bool,
    certify_seconds: float,
    allow_code: tuple[str, ...],
    no_progress: bool,
    output_format: str,
    color: str,
) -> None:
    """Choose the value of a param by a plan's search block: try candidates in order, write the plan with the answer."""
    gc.enable()
    from surgery_dsl.cli.output import emit, exit_code_of, few_of_each, finish, show
    from surgery_dsl.cli.progress import Progress
    from surgery_dsl.cli.search_text import searched_json, searched_text
    from surgery_dsl.diagnostics.render_json import render_json
    from surgery_dsl.run.searching import search

    with Progress(shown=not no_progress and output_format == "text") as progress:
        made = search(
            plan,
            output,
            sets=parse_sets(sets),
            allow_code=allow_code,
            device=device,
            dtype=dtype,
            seed=seed,
            force=force,
            allow_pickle=allow_pickle,
            certify_seconds=certify_seconds,
            progress=progress.tell,
        )
    found = few_of_each(made.diagnostics)
    code = exit_code_of(found)
    if output_format == "json":
        emit({**searched_json(made), **render_json(found), "exit_code": code})
    else:
        show(searched_text(made))
    finish(found, {plan: made.checked.text}, output_format, color, code)
