"""What heads give, where it can be watched: the values that the output projection of an attention takes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from surgery_dsl.diagnostics.codes import names
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.attention import attentions
from surgery_dsl.interface.flow import Flow
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.modes._channels import axis_of
from surgery_dsl.vocabulary.selection import Pool

if TYPE_CHECKING:
    import torch

HEADS = frozenset({"heads", "kv_groups"})
"""The units whose results are values that an output projection takes."""


class Entrance(NamedTuple):
    """A module whose first argument shows heads.

    Attributes:
        module: Path of the module.
        value: The value that it takes.
        dim: The dimension in which the heads lie.
        position: Where in that dimension's product of axes.
    """

    module: str
    value: int
    dim: int
    position: int


def entrances(pool: Pool, flow: Flow) -> tuple[list[Entrance], list[str]]:
    """Return where the heads of a pool are seen, and the attentions whose results no module takes first."""
    interface = flow.interface
    axis = axis_of(pool, interface)
    found: list[Entrance] = []
    unseen: list[str] = []
    for attention in attentions(flow):
        if axis not in attention.heads:
            continue
        operator = interface.operators[attention.output] if attention.output is not None else None
        taken = operator.inputs[0] if operator is not None and operator.inputs else -1
        home = operator.module if operator is not None else ""
        enters = any(call.module == home and call.inputs[:1] == (taken,) for call in interface.calls)
        dims = interface.values[taken].dims if enters else ()
        at = next((number for number, dim in enumerate(dims) if axis in dim), None)
        if at is None:
            unseen.append(attention.holder or attention.module)
        else:
            found.append(Entrance(home, taken, at, dims[at].index(axis)))
    return found, unseen


def unseen_heads(pool: Pool, flow: Flow, span: Span | None, word: str, context: Static) -> None:
    """Report attentions whose heads nothing shows."""
    found, unseen = entrances(pool, flow)
    for path in unseen or ([] if found else [site.path for site in pool.sites[:1]]):
        context.say(
            Diagnostic(
                names.CRITERION_DOES_NOT_FIT,
                f"`{word}` watches what the output projection of an attention takes, and `{path}` has no such module",
                file=context.file,
                span=span,
                path=path,
                help="use a criterion that reads weights, such as magnitude(p = 1)",
            )
        )


def loudness(pools: tuple[Pool, ...], data: str, batches: int | None, runtime: Runtime) -> "Mapping[str, torch.Tensor]":
    """Return the mean absolute value of what each head gives, by pool key, ``(pool.size,)`` in float64.

    The mean is over examples, positions and the entries of a head; attentions that share the heads add up.
    """
    import torch

    from surgery_dsl.evidence.watching import watch
    from surgery_dsl.kernels.scores import axis_sums

    interface = runtime.interface
    flow = Flow(interface)
    turns: dict[str, list[int]] = {}
    wanted: dict[tuple[str, int], list[tuple[str, Entrance]]] = {}
    for pool in pools:
        for entrance in entrances(pool, flow)[0]:
            runs = [call.inputs[0] for call in interface.calls if call.module == entrance.module and call.inputs]
            turns[entrance.module] = runs
            for number, value in enumerate(runs):
                if value == entrance.value:
                    wanted.setdefault((entrance.module, number), []).append((pool.key, entrance))
    ran = dict.fromkeys(turns, 0)
    seen: dict[tuple[str, str, int], tuple[torch.Tensor, float]] = {}

    def note(path: str, taken: torch.Tensor) -> None:
        number = ran[path] % len(turns[path])
        ran[path] += 1
        for key, entrance in wanted.get((path, number), ()):
            product = interface.values[entrance.value].dims[entrance.dim]
            sizes = [interface.exact((one,)) or 1 for one in product]
            total = axis_sums([taken], torch.abs, entrance.dim, sizes=sizes, position=entrance.position).to("cpu")
            before, count = seen.get((key, path, number), (torch.zeros_like(total), 0.0))
            seen[key, path, number] = (before + total, count + taken.numel() / len(total))

    model = runtime.model
    loaded = runtime.data(data).batches(batches)
    watch(model, (), loaded, note, lambda inputs: runtime.outputs(model, inputs), entering=tuple(turns))
    found: dict[str, torch.Tensor] = {}
    for (key, _, _), (total, count) in seen.items():
        found[key] = found.get(key, torch.zeros_like(total)) + total / max(count, 1.0)
    return found
