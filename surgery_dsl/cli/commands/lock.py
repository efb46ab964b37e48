"""``surgery-dsl lock PLAN``."""

import click

from surgery_dsl.cli.options import grants, output_format, plan_argument


@click.command()
@plan_argument()
@grants()
@output_format()
def command(plan: str, allow_code: tuple[str, ...], output_format: str, color: str) -> None:
    """Trace the models of a plan once and write PLAN.lock: axes, shapes, costs, digests."""
    from surgery_dsl.cli.inputs_text import inputs_text
    from surgery_dsl.cli.output import emit, exit_code_of, finish, progress, show
    from surgery_dsl.diagnostics.render_json import render_json
    from surgery_dsl.run.prepare import lock

    made = lock(plan, allow_code=allow_code, progress=progress)
    code = exit_code_of(made.diagnostics)
    if output_format == "json":
        written = str(made.path) if made.lock else None
        emit({"lock": written, **render_json(made.diagnostics), "exit_code": code})
    elif made.lock is not None:
        for model in made.lock.models:
            graph = model.interface
            free = sum(1 for axis in graph.axes if not axis.parts and not axis.frozen)
            show(
                f"{model.name}: {len(graph.modules)} modules, {len(graph.tensors)} tensors, "
                f"{len(graph.operators)} operators, {free} axes that surgery may change"
            )
            for line in inputs_text(model):
                show(line)
        show(f"wrote {made.path}")
    finish(made.diagnostics, {plan: made.text}, output_format, color, code)
