"""What a plan says of the patient's inputs, against the tables that the forward reads with them."""

import re
from collections.abc import Iterator

from surgery_dsl.diagnostics.codes import shapes
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.model import Dim, Interface, Operator
from surgery_dsl.interface.staleness import placed
from surgery_dsl.language.plan import Plan
from surgery_dsl.proof.recovery import size_range
from surgery_dsl.proof.state import State

_POSITIONS = re.compile(r"(^|[._])(pos|wpe\b)")


def inputs_within(plan: Plan, state: State) -> None:
    """Report inputs that the plan allows and a table has no row for: proofs would be about a forward that fails.

    Where inputs are made from the network they fit; where a size has no stated end, nothing is claimed of its end.
    """
    if plan.patient.inputs and not plan.patient.inferred:
        for found in (*_values(plan, state.interface), *_positions(state.interface)):
            state.sink.say(placed(found, plan.file, plan.patient.spans.get("input", plan.patient.span)))


def _values(plan: Plan, interface: Interface) -> Iterator[Diagnostic]:
    """Yield integer inputs with a range that is wider than the embedding which reads them."""
    ports = {port.value: port.name for port in interface.inputs}
    below = {spec.name: spec.below for spec in plan.patient.inputs}
    for operator in interface.operators:
        weight = operator.tensors.get("weight")
        if operator.kind != "embedding" or not weight:
            continue
        rows = interface.exact(interface.tensor_by_name[weight].dims[0])
        for name in (ports[value] for value in operator.inputs if value in ports):
            most = below.get(name)
            if rows is not None and most is not None and most > rows:
                yield Diagnostic(
                    shapes.FORWARD_FAILS,
                    f"`{name}` may hold the numbers 0 to {most - 1}, and `{weight}` has {rows} rows, 0 to {rows - 1}",
                    path=operator.path,
                    facts={"below": most, "rows": rows},
                    help=f"write below = {rows}",
                )


def _positions(interface: Interface) -> Iterator[Diagnostic]:
    """Yield sizes that go beyond a table which gives each position a row."""
    told: set[Dim] = set()
    for operator in interface.operators:
        for table, rows, dim in _tables(operator, interface):
            _, most = size_range(interface, dim)
            if most is None or most <= rows or dim in told:
                continue
            told.add(dim)
            size = interface.axes[dim[0]].size if len(dim) == 1 else ""
            free = size if isinstance(size, str) else ""
            longest = f"`{free}`" if free else "the length"
            yield Diagnostic(
                shapes.FORWARD_FAILS,
                f"{longest} goes to {most}, and `{table}` has {rows} rows, one for each position",
                path=operator.path,
                facts={"longest": most, "rows": rows},
                help=f"write {free} = 1..{rows}" if free else f"give an input of at most {rows} positions",
            )


def _tables(operator: Operator, interface: Interface) -> Iterator[tuple[str, int, Dim]]:
    """Yield tables whose rows are added one a position: name, rows, and the dimension that says how many are taken.

    An interface does not hold which rows are taken: tables of token types are added in the same way, and have two. So a
    table counts as one of positions by its name alone; others are not judged.
    """
    if operator.kind != "add" or not operator.inputs or len(operator.tensors) != 1:  # a buffer of numbers has a limit
        return
    dims = interface.values[operator.inputs[0]].dims
    for name in operator.tensors.values():
        table = interface.tensor_by_name[name]
        if not _POSITIONS.search(name) or len(table.dims) != 2 or len(dims) < 2 or table.dims[-1] != dims[-1]:
            continue
        rows = interface.exact(table.dims[0])
        if table.dims[0] != dims[-2] and rows is not None and rows > 1:
            yield name, rows, dims[-2]
