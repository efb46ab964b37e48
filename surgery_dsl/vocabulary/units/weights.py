"""Single weights."""

from typing import ClassVar, final

from surgery_dsl.diagnostics.codes import names
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.feedforward import layers_at
from surgery_dsl.interface.flow import Flow
from surgery_dsl.interface.model import FLOATS, Extent, Interface, Tensor
from surgery_dsl.vocabulary.context import Static
from surgery_dsl.vocabulary.kinds import Unit
from surgery_dsl.vocabulary.selection import Pool, Site
from surgery_dsl.vocabulary.units._axes import split_param
from surgery_dsl.vocabulary.word import Card


@final
class Weights(Unit):
    """Single entries of weight tensors.

    Static rule:
        One pool for each weight tensor of a site: a layer's `weight`, not its bias; a tensor that the plan names; all
        parameters below a module. Tied tensors count once. Entries can become zero; they cannot be removed. Refused:
        tensors of codes (8-bit layers).

    Runtime rule:
        A mask over each tensor.

    Source:
        Han et al., NeurIPS 2015, section 3.
    """

    card: ClassVar[Card] = Card(
        summary="Pick single entries of weight tensors",
        source="Han et al., NeurIPS 2015, section 3",
        example="weights",
        near_miss="weight",
        near_miss_code="SD105",
    )

    def pools(self, sites: tuple[Site, ...], context: Static) -> tuple[Pool, ...]:
        """Return one pool for each tensor, in the order of the sites."""
        interface = context.interface
        found: dict[str, dict[Site, None]] = {}
        for site in sites:
            tensors = site_weights(site, interface)
            if not tensors:
                context.say(
                    Diagnostic(
                        names.UNIT_DOES_NOT_FIT,
                        f"`{site.path or '.'}` has no weights",
                        file=context.file,
                        path=site.path,
                        help=f'add except = ["{site.path}"], or pick another unit',
                    )
                )
            for tensor in tensors:
                found.setdefault(tensor, {})[site] = None
        return tuple(
            Pool(key=name, size=most_entries(interface.tensor_by_name[name], interface), sites=tuple(of), tensor=name)
            for name, of in found.items()
        )

    def _real(self, name: str, site: Site, context: Static) -> bool:
        dtype = context.interface.tensor_by_name[name].dtype
        if dtype not in FLOATS:
            context.say(
                Diagnostic(
                    names.UNIT_DOES_NOT_FIT,
                    f"`{name}` holds codes ({dtype}), of which none need mean zero",
                    file=context.file,
                    path=name,
                    facts={"dtype": dtype},
                    help=f'pick weights before the step that quantizes, or add except = ["{site.path}"]',
                )
            )
        return dtype in FLOATS


def site_weights(site: Site, interface: Interface) -> tuple[str, ...]:
    """Return the names of a site's weight tensors; of tied ones, the owner's."""
    if site.word == "param":
        return (_owner(interface.tensor_by_name[split_param(site.path)[0]]),)
    if site.operators:
        operators = [interface.operators[at] for at in site.operators]
        named = [operator.tensors["weight"] for operator in operators if "weight" in operator.tensors]
        return tuple(dict.fromkeys(_owner(interface.tensor_by_name[name]) for name in named))
    if site.word == "mlp":
        flow = Flow(interface)
        named = [interface.operators[at].tensors["weight"] for at in layers_at(site.module, flow)]
        return tuple(dict.fromkeys(_owner(interface.tensor_by_name[name]) for name in named))
    below = site.module + "." if site.module else ""
    return tuple(
        dict.fromkeys(_owner(t) for t in interface.tensors if t.role == "parameter" and t.name.startswith(below))
    )


def _owner(tensor: Tensor) -> str:
    return tensor.tied_to or tensor.name


def most_entries(tensor: Tensor, interface: Interface) -> int:
    """Return the number of entries of a tensor; the greatest, where a choice before has left it open."""

    def most(axis: int) -> int | None:
        size = interface.axes[axis].size
        return size.most if isinstance(size, Extent) else size if isinstance(size, int) else None

    return interface.numel(tensor).substitute(most).value or 0
