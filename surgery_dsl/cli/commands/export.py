"""``surgery-dsl export OUT``."""

import gc
from pathlib import Path
from typing import Literal

import click

from surgery_dsl.cli.options import grants, output_format


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--format", "program", type=click.Choice(["torch", "onnx"]), default="torch", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File to write; by default OUT.pt2 or OUT.onnx.")
@click.option(
    "--tolerance",
    type=click.FloatRange(0, min_open=True),
    default=1e-4,
    show_default=True,
    help="Greatest difference, as a share of the greatest output.",
)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@grants()
@output_format()
def command(
    folder: Path,
    program: Literal["torch", "onnx"],
    output: Path | None,
    tolerance: float,
    force: bool,
    allow_code: tuple[str, ...],
    output_format: str,
    color: str,
) -> None:
    """Write the network of a result as a torch.export or ONNX program, and compare the two."""
    gc.enable()
    from surgery_dsl.cli.output import emit, exit_code_of, finish, show
    from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
    from surgery_dsl.diagnostics.render_json import render_json
    from surgery_dsl.run.export import Exported, describe, export

    exported: Exported | None = None
    found: tuple[Diagnostic, ...] = ()
    try:
        exported = export(folder, output, format=program, allow_code=allow_code, tolerance=tolerance, force=force)
    except Refused as refused:
        found = refused.diagnostics
    code = exit_code_of(found)
    if output_format == "json":
        emit({"exported": describe(exported) if exported else None, **render_json(found), "exit_code": code})
    elif exported is not None:
        sizes = "; ".join(", ".join(f"{name} = {size}" for name, size in one.items()) for one in exported.sizes)
        at = f" at {sizes}" if sizes else ""
        show(f"largest difference {exported.difference:.3g} of {exported.outputs:,} outputs{at}")
        show(f"wrote {exported.path}")
    else:
        show("refused: nothing was written")
    finish(found, {}, output_format, color, code)
