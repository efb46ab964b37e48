"""What the tracer tells a user whose model it cannot follow (SD200 to SD205)."""

from collections.abc import Mapping, Sequence

from torch import nn

from surgery_dsl.diagnostics.codes import shapes
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.trace import dtypes
from surgery_dsl.trace.failing_sizes import Smallest
from surgery_dsl.trace.forward import ForwardFailed, ValuesNeeded
from surgery_dsl.trace.recorder import Recording

Sizes = Mapping[str, int]


def first_line(error: Exception) -> str:
    """Return the first line of what an exception says."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _at(sizes: Sizes) -> str:
    return " with " + ", ".join(f"{name} = {size}" for name, size in sizes.items()) if sizes else ""


def _place(path: str) -> str:
    return f"`{path}`" if path else "the network's own forward"


def forward_fails(
    failed: ForwardFailed, inputs: Sequence[InputSpec], takes: str = "", at_every_size: bool = False
) -> Diagnostic:
    """The forward raised.

    Args:
        failed: How.
        inputs: What the plan says of the inputs.
        takes: What the module at work says that it takes; empty where it says nothing.
        at_every_size: Whether it raised in the same place at other free sizes, so that they are not to blame.
    """
    text = first_line(failed.error)
    if isinstance(failed.error, TypeError) and not failed.path and "argument" in text and not failed.records:
        return Diagnostic(
            shapes.INPUT_MISFIT,
            f"the forward does not take the inputs {', '.join(f'`{spec.name}`' for spec in inputs)}: {text}",
            help="name several inputs as the forward's keyword arguments; a single one is given by position",
        )
    fix = "give `input` the shape and dtype that the forward takes"
    if takes:
        fix += f": {_place(failed.path)} has {takes}"
    if failed.sizes and not at_every_size:
        names = list(failed.sizes)
        fix = f"write a fixed size for {' or '.join(names)}, or give the range in which the forward runs, as in "
        fix += f"`{names[-1]} = 1..512`"
    by = f"{failed.operator} was " if failed.operator else ""
    return Diagnostic(
        shapes.FORWARD_FAILS,
        f"the forward fails in {_place(failed.path)}{', for example' * at_every_size}{_at(failed.sizes)}: {text}",
        path=failed.path,
        facts=dict(failed.sizes),
        notes=(f"{by}called at {failed.source}",) if failed.source else (),
        help=fix,
    )


def fails_at_some_sizes(smallest: Smallest) -> Diagnostic:
    """The forward runs at some of the sizes that the plan leaves free, and not at others."""
    failed, name, runs = smallest.failed, smallest.name, sorted(smallest.runs)
    by = f"{failed.operator} was " if failed.operator else ""
    notes = [f"{by}called at {failed.source}"] if failed.source else []
    fits = f", multiples of {smallest.multiple}" if smallest.multiple > 1 else ""
    shown = " and ".join(str(size) for size in runs[-2:])
    notes.append(f"it runs with {name} = {shown}{fits}; {name} = {failed.sizes[name]} is the smallest that fails")
    near = [size for size in runs[-2:] if size in (runs[-1], runs[-1] - 1)]
    span = f", or a range in which it runs, such as `{name} = {near[0]}..{near[-1]}`" if len(near) > 1 else ""
    return Diagnostic(
        shapes.FORWARD_FAILS,
        f"the forward fails in {_place(failed.path)}{_at(failed.sizes)}: {first_line(failed.error)}",
        path=failed.path,
        facts=dict(failed.sizes),
        notes=tuple(notes),
        help=f"write a fixed size for `{name}`, such as {runs[-1]}{span}",
    )


def values_needed(needed: ValuesNeeded, elements: int = 0) -> Diagnostic:
    """The forward looks at values.

    Args:
        needed: Where.
        elements: How many the model has, where these are too many to make some up for.
    """
    why = f"and its {elements:,} elements are too many to make up values for" if elements else "and it has none yet"
    return Diagnostic(
        shapes.VALUES_NEEDED,
        f"the forward looks at values ({needed.operator} in {_place(needed.path)}), {why}",
        path=needed.path,
        facts={"elements": elements} if elements else {},
        notes=(f"called at {needed.source}",) if needed.source else (),
        help="trace a smaller config of the same architecture, or take the decision on values out of the forward"
        if elements
        else "give the model its weights, so that it can be traced on them",
    )


def inputs_unknown(model: nn.Module) -> Diagnostic:
    """Nothing in the model says what it takes."""
    return Diagnostic(
        shapes.INPUT_MISFIT,
        f"`{type(model).__name__}` does not say what it takes: it has neither a main input and a config, as models of "
        "transformers have, nor the `default_cfg` of timm",
        help='write `input` in the model block, for example `input = x("f32", [N, 3, 224, 224])`',
    )


def unknown_dtype(spec: InputSpec) -> Diagnostic:
    """A dtype that plans have no word for."""
    return Diagnostic(
        shapes.INPUT_MISFIT,
        f"input `{spec.name}` has the unknown dtype `{spec.dtype}`",
        help=f"write one of {', '.join(dtypes.BY_NAME)}",
    )


def parts_at(first: Recording, other: Recording, position: int, one: Sizes, two: Sizes) -> Diagnostic:
    """The forward makes different calls at different sizes, from a position on."""
    longer = first if len(first.records) > position else other
    record = longer.records[min(position, len(longer.records) - 1)]
    path = longer.runs[record.run].path if record.run >= 0 else ""
    return path_depends_on_size(one, two, record.operation.name.strip("_"), path, record.source)


def path_depends_on_size(one: Sizes, two: Sizes, operator: str, path: str, source: str) -> Diagnostic:
    """The forward makes different calls at different sizes."""
    return Diagnostic(
        shapes.PATH_DEPENDS_ON_SIZE,
        f"the forward does not do the same{_at(one)} and{_at(two)}: they part at {operator} in {_place(path)}",
        path=path,
        facts={**one, **{f"{name} (second)": size for name, size in two.items()}},
        notes=(f"called at {source}",) if source else (),
        help="write fixed sizes for the inputs on which the forward decides",
    )


def outputs_misfit(found: Sequence[str], wanted: Sequence[str]) -> Diagnostic:
    """The plan names other outputs than the forward returns."""
    return Diagnostic(
        shapes.OUTPUT_MISFIT,
        f"the forward returns {len(found)} tensors that depend on an input ({', '.join(found) or 'none'}), "
        f"the plan names {len(wanted)} ({', '.join(wanted) or 'none'})",
        facts={"returned": len(found), "named": len(wanted)},
        help="name as many outputs as the forward returns, or keys of its result",
    )


def unknown_size(kind: str, path: str, source: str, sizes: tuple[int, ...], one: Sizes, two: Sizes) -> Diagnostic:
    """A size changes with the inputs, and no rule says how."""
    return Diagnostic(
        shapes.UNKNOWN_SIZE,
        f"{kind} in {_place(path)} makes a dimension of {sizes[0]}{_at(one)} and of {sizes[-1]}{_at(two)}; "
        "how it follows is not known",
        path=path,
        facts={"first": sizes[0], "second": sizes[-1]},
        notes=(f"called at {source}",) if source else (),
        help="write fixed sizes for the inputs that this size follows from",
    )


def not_followed(spelled: str, source: str) -> Diagnostic:
    """The code computes something of a free size, or asks it of one, that no expression says."""
    return Diagnostic(
        shapes.UNKNOWN_SIZE,
        f"the forward computes `{spelled}`; how it follows from the inputs is not known",
        notes=(f"computed at {source}",) if source else (),
        help="write fixed sizes for the inputs that it follows from, or let the code divide with `//`",
    )


def size_left(place: str, sizes: tuple[int, ...], one: Sizes, two: Sizes) -> Diagnostic:
    """A size of a tensor changes with the inputs, and no operator that was followed says how."""
    return Diagnostic(
        shapes.UNKNOWN_SIZE,
        f"{place or 'a tensor that the forward makes'} has {sizes[0]} entries{_at(one)} and {sizes[-1]}{_at(two)}; "
        "how it follows is not known",
        facts={"first": sizes[0], "second": sizes[-1]},
        help="write fixed sizes for the inputs that this size follows from",
    )
