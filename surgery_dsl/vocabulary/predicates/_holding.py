"""Which tensors a site holds, and how their names move through later steps."""

from collections.abc import Iterable

from surgery_dsl.interface.feedforward import layers_at
from surgery_dsl.interface.flow import Flow
from surgery_dsl.interface.model import Interface, Tensor
from surgery_dsl.vocabulary.context import Effect
from surgery_dsl.vocabulary.selection import Site


def tensors_at(interface: Interface, sites: Iterable[Site]) -> frozenset[str]:
    """Return the names of the tensors that the sites hold.

    A site that names a tensor (or, as ``embed.weight[0]``, a dimension of one) holds it; one with operators holds what
    they read; a module holds all below it.
    """
    found: set[str] = set()
    modules: list[str] = []
    for site in sites:
        name = site.path.partition("[")[0]
        if name in interface.tensor_by_name:
            found.add(name)
        elif site.operators:
            for index in site.operators:
                found.update(interface.operators[index].tensors.values())
        elif site.word == "mlp":
            for index in layers_at(site.module, Flow(interface)):
                found.update(interface.operators[index].tensors.values())
        else:
            modules.append(site.module)
    return frozenset(found) | tensors_below(interface, modules)


def tensors_below(interface: Interface, modules: Iterable[str]) -> frozenset[str]:
    """Return the names of the tensors of modules and of all modules below them."""
    roots = set(modules)
    if "" in roots:
        return frozenset(interface.tensor_by_name)
    if not roots:
        return frozenset()
    return frozenset(t.name for t in interface.tensors if not roots.isdisjoint(_prefixes(t.name)))


def _prefixes(name: str) -> Iterable[str]:
    end = name.rfind(".")
    while end > 0:
        yield name[:end]
        end = name.rfind(".", 0, end)


def with_ties(interface: Interface, names: Iterable[str]) -> frozenset[str]:
    """Add every tensor that shares memory with one of the names."""
    owners = {_owner(interface.tensor_by_name[name]) for name in names if name in interface.tensor_by_name}
    return frozenset(t.name for t in interface.tensors if _owner(t) in owners)


def _owner(tensor: Tensor) -> str:
    return tensor.tied_to or tensor.name


def follow(names: dict[str, str], effect: Effect) -> dict[str, str]:
    """Carry a map from first to present names over a step that renames tensors."""
    if not effect.renamed:
        return names
    return {first: effect.renamed.get(now, now) for first, now in names.items()}
