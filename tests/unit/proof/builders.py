"""Interfaces and locks written by hand, so that proofs are tested without torch and without the tracer."""

from collections.abc import Sequence
from typing import Any

from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface import frozen
from surgery_dsl.interface.lock import DataFacts, Lock, ModelLock, WeightFacts
from surgery_dsl.interface.model import (
    Axis,
    Call,
    FreeSize,
    Interface,
    Module,
    Operator,
    Port,
    Requirement,
    Tensor,
    Value,
)
from surgery_dsl.language.plan import Plan
from surgery_dsl.language.read import read_plan
from surgery_dsl.proof.check import CheckReport, check


def chain(widths: Sequence[int], requirements: tuple[Requirement, ...] = ()) -> Interface:
    """Return a perceptron as the tracer would see it: ``hidden.i`` and ``act.i`` for all but the last layer, ``head``.

    ``widths`` are the sizes of the input, of each hidden layer, and of the output.
    """
    last = len(widths) - 2
    paths = [f"hidden.{i}" for i in range(last)] + ["head"]
    axes = [Axis(id=0, size="N", label="x[0]", frozen=frozen.FREE)]
    for at, width in enumerate(widths):
        label = "x[1]" if at == 0 else f"{paths[at - 1]}.weight[0]"
        why = frozen.INPUT if at == 0 else frozen.OUTPUT if at == last + 1 else ""
        axes.append(Axis(id=at + 1, size=width, label=label, frozen=why))
    tensors: list[Tensor] = []
    modules = [Module(path="", type="chain.Chain")]
    if last:
        modules += [Module(path=name, type="torch.nn.ModuleList") for name in ("hidden", "act")]
    values = [Value(dtype="f32", dims=((0,), (1,)))]
    operators: list[Operator] = []
    calls = [Call(module="", parent=-1, first=0, last=0, inputs=(0,), outputs=())]
    for at, path in enumerate(paths):
        out, into = at + 2, at + 1
        tensors.append(Tensor(name=f"{path}.weight", role="parameter", dtype="f32", dims=((out,), (into,))))
        tensors.append(Tensor(name=f"{path}.bias", role="parameter", dtype="f32", dims=((out,),)))
        integers = {"in_features": (into,), "out_features": (out,)}
        modules.append(Module(path=path, type="torch.nn.Linear", integers=integers))
        reads = {"weight": f"{path}.weight", "bias": f"{path}.bias"}
        _run(operators, calls, values, "linear", path, ((0,), (out,)), reads, ((0, into, out),))
        if at < last:
            modules.append(Module(path=f"act.{at}", type="torch.nn.ReLU"))
            _run(operators, calls, values, "relu", f"act.{at}", ((0,), (out,)), {}, ())
    end = len(values) - 1
    calls[0] = calls[0].replaced(last=len(operators), outputs=(end,))
    return Interface(
        network="chain.Chain",
        axes=tuple(axes),
        tensors=tuple(tensors),
        modules=tuple(modules),
        values=tuple(values),
        operators=tuple(operators),
        calls=tuple(calls),
        inputs=(Port(name="x", value=0),),
        outputs=(Port(name="output", value=end),),
        free=(FreeSize(name="N"),),
        requirements=requirements,
    )


def _run(
    operators: list[Operator],
    calls: list[Call],
    values: list[Value],
    kind: str,
    path: str,
    dims: tuple[tuple[int, ...], ...],
    tensors: dict[str, str],
    macs: tuple[tuple[int, ...], ...],
) -> None:
    before, after, at = len(values) - 1, len(values), len(operators)
    values.append(Value(dtype="f32", dims=dims))
    operators.append(
        Operator(kind=kind, path=path, module=path, inputs=(before,), outputs=(after,), tensors=tensors, macs=macs)
    )
    calls.append(Call(module=path, parent=0, first=at, last=at + 1, inputs=(before,), outputs=(after,)))


def facts(name: str, shape: tuple[int, ...], labels: tuple[int, int] | None = (0, 9), **changes: Any) -> DataFacts:
    """Return facts of a data set of 100 examples."""
    found = DataFacts(
        name=name,
        count=100,
        input_shape=shape,
        input_dtype="f32",
        target_shape=(),
        target_dtype="f32" if labels is None else "i64",
        label_range=labels,
        digest="0" * 64,
        batch=10,
    )
    return found.replaced(**changes)


def lock(interface: Interface, *data: DataFacts, nonzero: dict[str, int] | None = None) -> Lock:
    """Return a lock whose patient ``net`` has the interface."""
    weights = None if nonzero is None else WeightFacts(digest="0" * 64, nonzero=nonzero)
    model = ModelLock(name="net", declared="", sources=(), structure="0" * 64, weights=weights, interface=interface)
    return Lock(tool="0", torch="0", models=(model,), data=data)


def full(interface: Interface) -> dict[str, int]:
    """Return how many values each parameter has, none of them zero."""
    counts = {}
    for tensor in interface.tensors:
        size = interface.numel(tensor).substitute(interface.exact_size).value
        assert size is not None
        counts[tensor.name] = size
    return counts


HEAD = """surg 1

model net {
  load = python("chain:build")
  input = x("f32", [N, 8])
}
data train { load = digits(split = "train", flat = true) }
data test { load = digits(split = "test", flat = true) }
"""


def plan(body: str, head: str = HEAD) -> Plan:
    """Read a plan; fail where it does not read."""
    found, diagnostics = read_plan(head + body, "plan.surg")
    assert found is not None, [d.message for d in diagnostics]
    return found


def checked(body: str, widths: Sequence[int] = (8, 16, 12, 4), **kwargs: Any) -> CheckReport:
    """Check a plan against a chain; both data sets fit its input, and labels its output."""
    interface = chain(widths)
    data = [facts(name, (widths[0],), (0, widths[-1] - 1)) for name in ("train", "test")]
    return check(plan(body), lock(interface, *data, nonzero=kwargs.get("nonzero", full(interface))))


def codes(report: CheckReport) -> list[str]:
    """Return the names of what was found."""
    return [found.code.name for found in report.diagnostics]


def finding(report: CheckReport, name: str) -> Diagnostic:
    """Return the one finding of a name."""
    (found,) = [d for d in report.diagnostics if d.code.name == name]
    return found


def line_of(body: str, text: str, head: str = HEAD) -> int:
    """Return the line of the plan in which a text stands."""
    lines = (head + body).splitlines()
    (line,) = [number for number, content in enumerate(lines, 1) if text in content]
    return line
