"""``surgery-dsl apply PLAN -o OUT``."""

import gc
from pathlib import Path
from typing import Literal

import click

from surgery_dsl.cli.options import grants, output_format, parse_sets, plan_argument, settings
from surgery_dsl.cli.sizes import byte_size


@click.command()
@plan_argument()
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Directory to write; it must not exist yet.")
@settings()
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:1.")
@click.option(
    "--dtype", type=click.Choice(["f16", "bf16", "f32", "f64"]), help="Floating dtype to compute and store in."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Mixed into every seed of the plan.")
@click.option("--dry-run", is_flag=True, help="Stop after the proof: read no weights, write nothing.")
@click.option("--force", is_flag=True, help="Replace a non-empty output directory.")
@click.option("--strict", is_flag=True, help="Let warnings refuse the plan.")
@click.option(
    "--allow-undecided", is_flag=True, help="Decide what no proof decides for the outcome that identify finds."
)
@click.option("--measure-latency", is_flag=True, help="Time forwards and watch their memory, before and after.")
@click.option("--allow-pickle", is_flag=True, help="Read weights that are pickles (they can run any code).")
@click.option(
    "--shard-size",
    callback=byte_size,
    metavar="SIZE",
    default="5GB",
    show_default=True,
    help="Bytes of weights in one file.",
)
@click.option(
    "--certify-seconds",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    help="Time for cutting the boxes of one certify line.",
)
@click.option(
    "--witness",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Keep the worst input for a certify line that does not pass.",
)
@click.option(
    "--out-of-core/--in-core",
    "out_of_core",
    default=None,
    help="Cut weights in their files, or load them; by default as memory allows.",
)
@click.option("--sign", type=click.Path(path_type=Path), metavar="KEYFILE", help="Sign the certificate with this key.")
@grants()
@click.option("--no-progress", is_flag=True, help="Show no progress on stderr.")
@output_format()
def command(
    plan: str,
    output: Path | None,
    sets: tuple[str, ...],
    device: str,
    dtype: Literal["f16", "bf16", "f32", "f64"] | None,
    seed: int,
    dry_run: bool,
    force: bool,
    strict: bool,
    allow_undecided: bool,
    measure_latency: bool,
    allow_pickle: bool,
    shard_size: int,
    certify_seconds: float,
    witness: Path | None,
    out_of_core: bool | None,
    sign: Path | None,
    allow_code: tuple[str, ...],
    no_progress: bool,
    output_format: str,
    color: str,
) -> None:
    """Execute a plan, or a saved one as it was reviewed: prove, operate, train, measure, write; or change nothing."""
    if output is None and not dry_run:
        raise click.UsageError("apply needs -o OUT (or --dry-run)")
    gc.enable()
    from surgery_dsl.cli.apply_text import outcome_json, outcome_text
    from surgery_dsl.cli.output import emit, exit_code_of, few_of_each, finish, show
    from surgery_dsl.cli.progress import Progress
    from surgery_dsl.diagnostics.render_json import render_json
    from surgery_dsl.run.apply import apply

    with Progress(shown=not no_progress and output_format == "text") as progress:
        outcome = apply(
            plan,
            output,
            sets=parse_sets(sets),
            allow_code=allow_code,
            device=device,
            dtype=dtype,
            seed=seed,
            dry_run=dry_run,
            force=force,
            strict=strict,
            allow_undecided=allow_undecided,
            measure_latency=measure_latency,
            allow_pickle=allow_pickle,
            shard_size=shard_size,
            certify_seconds=certify_seconds,
            witness=witness,
            sign=sign,
            out_of_core=out_of_core,
            progress=progress.tell,
        )
    found = few_of_each(outcome.diagnostics)
    code = exit_code_of(found, strict)
    json = output_format == "json"
    emit({**outcome_json(outcome), **render_json(found), "exit_code": code}) if json else show(outcome_text(outcome))
    finish(found, dict.fromkeys((plan, str(outcome.checked.path)), outcome.checked.text), output_format, color, code)
