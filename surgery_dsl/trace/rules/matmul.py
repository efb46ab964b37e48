"""Matrix products."""

from surgery_dsl.interface.model import Setting
from surgery_dsl.trace.atoms import Product
from surgery_dsl.trace.registry import Outcome, rule
from surgery_dsl.trace.step import State, Step


def product(step: Step, left: str, right: str, bias: str = "") -> Outcome:
    """Contract the last dimension of ``left`` with the last but one of ``right``; leading dimensions are joined."""
    one, two = step.of(left), step.of(right)
    step.axes.unify(two.dims[-2], one.dims[-1])
    for a, b in zip(one.dims[:-2], two.dims[:-2], strict=True):
        step.axes.unify(a, b)
    dims = [*one.dims[:-1], two.dims[-1]]
    roles: dict[str, str] = {}
    sizes: dict[str, Product] = {}
    settings: dict[str, Setting] = {}
    linear = (one.active or not one.names) and two.is_parameter
    if linear:
        roles[right] = "weight"
        sizes = {"in_features": one.dims[-1], "out_features": two.dims[-1]}
        if two.order is not None and two.order[-1] > two.order[-2]:
            settings["input_dim"] = two.order[-2]
    if bias:
        linear = _bias(step, step.of(bias), dims) and linear
        roles[bias] = "bias"
        settings |= {k: v for k, v in step.scalars().items() if k in ("alpha", "beta")}
    kind = "linear" if linear else "matmul" if not bias else ""
    macs = [atom for dim in one.dims for atom in dim] + two.dims[-1]
    return Outcome([dims], kind=kind, roles=roles, settings=settings, macs=(macs,), sizes=sizes)


def _bias(step: Step, bias: State, dims: list[Product]) -> bool:
    for dim, own in zip(reversed(dims), reversed(bias.dims), strict=False):
        if own:
            step.axes.unify(own, dim)
    return bias.is_parameter


@rule("mm", "bmm")
def matmul(step: Step) -> Outcome:
    """A product of matrices."""
    return product(step, "self", "mat2")


@rule("addmm", "baddbmm")
def addmm(step: Step) -> Outcome:
    """A product of matrices plus a matrix or vector."""
    second = "mat1" if step.operation.name == "addmm" else "batch1"
    return product(step, second, second[:-1] + "2", "self")


@rule("mv", "dot", "vdot")
def vector(step: Step) -> Outcome:
    """A product with a vector."""
    one, two = step.of("self"), step.of(step.operation.arguments[1][0])
    step.axes.unify(one.dims[-1], two.dims[0])
    macs = [atom for dim in one.dims for atom in dim]
    return Outcome([one.dims[:-1]], kind="matmul", macs=(macs,))
