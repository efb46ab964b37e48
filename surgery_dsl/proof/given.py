"""What a plan says of the patient's inputs, against the tables that the forward reads with them."""

from collections.abc import Iterator

from surgery_dsl.diagnostics.codes import shapes
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.model import Interface
from surgery_dsl.interface.staleness import placed
from surgery_dsl.language.plan import Plan
from surgery_dsl.proof.state import State


def inputs_within(plan: Plan, state: State) -> None:
    """Report inputs that the plan allows and a table has no row for: proofs would be about a forward that fails.

    How many positions a table holds is a relation of sizes, which is proved or refuted with the others. Where inputs
    are made from the network they fit.
    """
    if plan.patient.inputs and not plan.patient.inferred:
        for found in _values(plan, state.interface):
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
