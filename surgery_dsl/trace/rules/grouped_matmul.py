"""Matrix products of rows that are sorted by expert, each with its expert's matrix."""

from surgery_dsl.interface import frozen
from surgery_dsl.trace.registry import Outcome, rule
from surgery_dsl.trace.step import Step


@rule("_grouped_mm", "_scaled_grouped_mm")
def grouped_matmul(step: Step) -> Outcome | None:
    """Rows up to ``offs[e]`` meet the matrix of expert e, whose number is data. Source: torch.nn.functional.grouped_mm.

    Shapes: (rows, k) · (experts, k, n) → (rows, n), or (experts, rows, k) · (experts, k, n) → (experts, rows, n).
    """
    one, two = step.of("self").dims, step.of(step.operation.arguments[1][0]).dims
    offsets = step.state("offs")
    step.axes.unify(one[-1], two[-2])
    if len(one) == 3 and len(two) == 3 and offsets is None:
        step.axes.unify(one[0], two[0])
    elif len(one) == 2 and len(two) == 3:
        step.axes.freeze(two[0], frozen.lookup(step.axes.place))
        if offsets is not None:
            step.axes.unify(two[0], offsets.dims[0])
    else:
        return None
    out = [*one[:-1], two[-1]]
    bias = step.state("bias")
    if bias is not None:
        step.axes.unify(bias.dims[-1], out[-1])
    return Outcome([out], kind="grouped_matmul", macs=([atom for dim in one for atom in dim] + two[-1],))
