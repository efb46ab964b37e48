"""Where the units of a pool can be watched while data runs through the network."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal

from surgery_dsl.diagnostics.codes import names
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.flow import ACTIVATIONS, WEIGHTED, Flow
from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.modes._channels import axis_of
from surgery_dsl.vocabulary.selection import Pool
from surgery_dsl.vocabulary.units._axes import layers_of, site_results

if TYPE_CHECKING:
    import torch


def watched(pool: Pool, flow: Flow, *, layers: bool) -> tuple[list[int], list[str]]:
    """Return the operators whose results show a pool's units, and the sites that nothing shows.

    That is the first activation behind a site, directly or through norms; a site that is an activation shows itself.
    With ``layers``, a layer without an activation shows itself too, unless it is a product with a weight in a forward,
    which leaves no call to watch.
    """
    interface = flow.interface
    axis = axis_of(pool, interface)
    found: dict[int, None] = {}
    unseen: list[str] = []
    for site in pool.sites:
        own = [at for at in site_results(site, flow) if interface.operators[at].kind in ACTIVATIONS]
        found |= dict.fromkeys(own)
        for at in () if own else layers_of(site, axis, flow):
            after = flow.activation_after(at)
            operator = interface.operators[at]
            if after is not None:
                found[after] = None
            elif layers and ("#" not in operator.path or operator.kind in WEIGHTED - {"linear"}):
                found[at] = None
            else:
                unseen.append(operator.path)
    return list(found), unseen


def unwatched(pool: Pool, flow: Flow, span: Span | None, word: str, context: Static, *, layers: bool = False) -> None:
    """Report the sites of a pool whose units nothing shows."""
    _, unseen = watched(pool, flow, layers=layers)
    for path in unseen:
        context.say(
            Diagnostic(
                names.CRITERION_DOES_NOT_FIT,
                f"`{word}` watches the activation behind a layer, and `{path}` has none",
                file=context.file,
                span=span,
                path=path,
                help=f'add except = ["{path}"], or use a criterion that reads weights, such as magnitude(p = 1)',
            )
        )


def activations_of(
    pools: tuple[Pool, ...],
    data: str,
    batches: int | None,
    runtime: Runtime,
    how: Literal["maximum", "mean", "products"],
    *,
    layers: bool = False,
) -> "Mapping[str, torch.Tensor]":
    """Return the greatest or mean absolute output of each unit, or inner products of them, by pool key, in float64.

    The greatest is over everything that shows the unit; means and products of several places add up. Products are of
    any two units of a pool, over all examples and positions: square tensors.
    """
    import torch

    from surgery_dsl.evidence.watching import watch
    from surgery_dsl.kernels.scores import axis_maxima, axis_products, axis_sums

    flow = Flow(runtime.interface)
    places: dict[int, list[tuple[str, int, tuple[int, ...], int]]] = {}
    for pool in pools:
        axis = axis_of(pool, runtime.interface)
        for at in watched(pool, flow, layers=layers)[0]:
            operator = runtime.interface.operators[at]
            dims = runtime.interface.values[operator.outputs[0]].dims
            dim = next(position for position, product in enumerate(dims) if axis in product)
            sizes = tuple(runtime.interface.exact((one,)) or 1 for one in dims[dim])
            places.setdefault(at, []).append((pool.key, dim, sizes, dims[dim].index(axis)))
    turns = _turns(places, runtime.interface)
    ran = dict.fromkeys(turns, 0)
    found: dict[str, torch.Tensor] = {}
    seen: dict[tuple[str, int], tuple[torch.Tensor, float]] = {}

    def note(path: str, output: torch.Tensor) -> None:
        at = turns[path][ran[path] % len(turns[path])]
        ran[path] += 1
        for key, dim, sizes, position in places.get(at, ()):
            if how == "maximum":
                most = axis_maxima([output], torch.abs, dim, sizes=sizes, position=position)
                found[key] = torch.maximum(found[key], most) if key in found else most
            elif how == "products":
                both = axis_products(output, dim, sizes=sizes, position=position)
                found[key] = found[key] + both if key in found else both
            else:
                total = axis_sums([output], torch.abs, dim, sizes=sizes, position=position)
                before, count = seen.get((key, at), (torch.zeros_like(total), 0.0))
                seen[key, at] = (before + total, count + output.numel() / len(total))

    loaded = runtime.data(data)
    model = runtime.model
    watch(model, tuple(turns), loaded.batches(batches), note, lambda inputs: runtime.outputs(model, inputs))
    for (key, _), (total, count) in seen.items():
        found[key] = found.get(key, torch.zeros_like(total)) + total / max(count, 1.0)
    return found


def _turns(places: Iterable[int], interface: Interface) -> dict[str, list[int]]:
    """Return, by path, all operators that go by it in the order of the forward: a shared module runs several times."""
    turns: dict[str, list[int]] = {interface.operators[at].path: [] for at in places}
    for at, operator in enumerate(interface.operators):
        if operator.path in turns:
            turns[operator.path].append(at)
    return turns
