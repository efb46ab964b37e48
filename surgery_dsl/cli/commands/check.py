"""``surgery-dsl check PLAN…``."""

import click

from surgery_dsl.cli.options import grants, output_format, parse_sets, plan_argument, settings


@click.command()
@plan_argument(many=True)
@settings()
@grants()
@click.option("--cross-check", is_flag=True, help="Let z3 look at every verdict of the other tiers once more.")
@click.option("--strict", is_flag=True, help="Let warnings fail the check.")
@output_format()
def command(
    plans: tuple[str, ...],
    sets: tuple[str, ...],
    allow_code: tuple[str, ...],
    cross_check: bool,
    strict: bool,
    output_format: str,
    color: str,
) -> None:
    """Prove plans from the plan and its lock alone; make the lock first if there is none."""
    from surgery_dsl.cli.cross_check_text import cross_check_json, cross_check_text
    from surgery_dsl.cli.output import emit, exit_code_of, few_of_each, finish, progress, show
    from surgery_dsl.cli.proof_text import proof_json, proof_text
    from surgery_dsl.diagnostics.render_json import render_json
    from surgery_dsl.run.prepare import check

    values = parse_sets(sets)
    checked = [
        check(plan, sets=values, allow_code=allow_code, cross_check=cross_check, progress=progress) for plan in plans
    ]
    found = few_of_each(diagnostic for one in checked for diagnostic in one.diagnostics)
    code = exit_code_of(found, strict)
    if output_format == "json":
        plans_found = [
            proof_json(one)
            | ({} if one.cross_checked is None else {"cross_check": cross_check_json(one.cross_checked)})
            for one in checked
        ]
        emit({"plans": plans_found, **render_json(found), "exit_code": code})
    else:
        for one in checked:
            if one.report is not None:
                show(proof_text(one))
            if one.cross_checked is not None:
                show(cross_check_text(one.cross_checked))
    finish(found, {str(one.path): one.text for one in checked}, output_format, color, code)
