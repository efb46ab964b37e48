"""How much batch norms let through."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, final

from surgery_dsl.diagnostics.codes import names
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.flow import Flow
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import Criterion
from surgery_dsl.vocabulary.modes._channels import axis_of
from surgery_dsl.vocabulary.selection import Pool
from surgery_dsl.vocabulary.units._axes import layers_of
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch


@final
class BnScale(Criterion):
    """Score channels by the scale of the batch norm behind them.

    Static rule:
        Fits channels. Each site must be a batch norm with a scale, or have one directly behind it.

    Runtime rule:
        |gamma| of the batch norm; scores of all sites that share an axis add up, and where a group of channels is one
        unit, those of its channels.

    Source:
        Liu et al., "Learning efficient convolutional networks through network slimming", ICCV 2017, section 3.
    """

    units: ClassVar[frozenset[str]] = frozenset({"channels"})
    card: ClassVar[Card] = Card(
        summary="Score channels by the scale of their batch norm",
        source="Liu et al., ICCV 2017, section 3",
        example="bn_scale()",
        near_miss="bn_scale(1)",
        near_miss_code="SD110",
        fixture="cnn",
    )

    def check(self, unit: str, pools: tuple[Pool, ...], context: Static) -> None:
        """Report sites without a batch norm."""
        flow = Flow(context.interface)
        bare = [path for pool in pools for path in _scales(pool, flow)[1]]
        if bare:
            shown = ", ".join(f"`{path}`" for path in bare[:8]) + (" …" if len(bare) > 8 else "")
            context.say(
                Diagnostic(
                    names.CRITERION_DOES_NOT_FIT,
                    f"`bn_scale` reads the batch norm behind a layer, and {shown} "
                    f"{'has' if len(bare) == 1 else 'have'} none with a scale",
                    file=context.file,
                    span=self.span,
                    path=bare[0],
                    facts={"sites": len(bare)},
                    help="use a criterion that needs no norm, such as magnitude(p = 1), or name other sites",
                )
            )

    def scores(self, unit: str, pools: tuple[Pool, ...], runtime: Runtime) -> "Mapping[str, torch.Tensor]":
        """Return the scores by pool key, ``(pool.size,)`` in float64."""
        import torch

        from surgery_dsl.kernels.scores import axis_sums

        flow = Flow(runtime.interface)
        scores: dict[str, torch.Tensor] = {}
        for pool in pools:
            axis = axis_of(pool, runtime.interface)
            total = torch.zeros(pool.size, dtype=torch.float64)
            for name in _scales(pool, flow)[0]:
                (product,) = runtime.interface.tensor_by_name[name].dims
                sizes = [runtime.interface.exact((one,)) or 1 for one in product]
                scale = runtime.tensor(name)
                total += axis_sums([scale], torch.abs, 0, sizes=sizes, position=product.index(axis)).to("cpu")
            scores[pool.key] = total
        return scores


def _scales(pool: Pool, flow: Flow) -> tuple[list[str], list[str]]:
    """Return the scales of the norms at or behind a pool's sites, and the paths of the layers that have none."""
    interface = flow.interface
    found: dict[str, None] = {}
    bare: list[str] = []
    for site in pool.sites:
        for at in layers_of(site, axis_of(pool, interface), flow):
            norm = at if interface.operators[at].kind == "batch_norm" else flow.norm_after(at)
            operator = interface.operators[norm] if norm is not None else None
            if operator is not None and operator.kind == "batch_norm" and "weight" in operator.tensors:
                found[operator.tensors["weight"]] = None
            else:
                bare.append(interface.operators[at].path)
    return list(found), bare
