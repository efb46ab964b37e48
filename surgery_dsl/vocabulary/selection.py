"""What ``identify`` means, before and after weights are read."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.model import Data, Dim, Extent

if TYPE_CHECKING:
    from torch import Tensor as TorchTensor


class Site(Data):
    """A place that a site word matched.

    Attributes:
        word: The site word (``conv2d``, ``relu``, ``module`` …).
        path: What the pattern matched: a module path, ``module/kind#n`` for a call in a forward, or ``module#n`` for
            one of several calls of a module.
        module: The module meant (for a call in a forward, the module that makes it).
        operators: Positions in ``Interface.operators`` of the calls that belong to the site; empty for ``module``.
    """

    word: str
    path: str
    module: str
    operators: tuple[int, ...] = ()

    @property
    def is_call_of_module(self) -> bool:
        """Whether the site is one of several calls of its module."""
        return self.path.rpartition("#")[0] == self.module and bool(self.module)


class Pool(Data):
    """Units that are ranked together for one site or coupled group.

    Attributes:
        key: Unique and stable name: the axis's label, the tensor's name, or the parent path of the modules.
        size: How many units there are.
        sites: The matched sites that the units belong to (all members of a coupled group).
        axis: For channels: the leaf axis whose indices are the units.
        least: How many units must stay of what is excised: one, or as many experts as each token goes through.
        width: For channels: how many channels of the site one unit is (groups make it more than one).
        tensor: For weights: the tensor's name.
        modules: For modules: the paths, in module order.
        original: For a stage of a schedule: how many units there were before the first stage.
        noun: What one of the counted units is called, where it is none of channel, weight and module.
        about: How the units lie and which counts may stay, in words, where that is not plain.
        dim: For an axis: the product of axes that the plan's numbers count, outermost first; empty where that is the
            sites' own output dimension.
    """

    key: str
    size: int
    sites: tuple[Site, ...]
    axis: int | None = None
    least: int = 1
    width: int = 1
    tensor: str = ""
    modules: tuple[str, ...] = ()
    original: int | None = None
    noun: str = ""
    about: str = ""
    dim: Dim = ()


class Rounding(Data):
    """``round``, ``floor`` and ``cap`` in units of one pool: keep a multiple of, keep at least, remove at most."""

    multiple: int = 1
    keep_at_least: int = 0
    remove_at_most: int | None = None


class Selection(Data):
    """What a selection can be, for every outcome.

    Attributes:
        step: Name of the ``identify`` block.
        unit: Name of the unit: ``weights``, ``channels``, ``heads``, ``modules`` …
        pools: The pools.
        taken: For each pool, how many of its units may be taken.
        total: Where a global ranking fixes the sum over the pools, that sum, or the bounds that rounding leaves it.
        silent_on: Where all taken units are proved to give 0: the region. ``None`` where nothing is proved.
        runs_before: How many runs of steps stood before the selection.
        gone: For a stage of a schedule with a global ranking that removes units: how many of the original units of all
            pools are gone after it.
        asked: What the plan asked for, in words (``lowest 40%``).
        indices: For each pool, the units, where the plan itself fixes them (``only([3, 5])``); else ``None``.
        span: Where the plan says how much is taken.
    """

    step: str
    unit: str
    pools: tuple[Pool, ...]
    taken: tuple[Extent, ...]
    total: Extent | None = None
    asked: str = ""
    indices: tuple[tuple[int, ...] | None, ...] = ()
    span: Span | None = None
    gone: Extent | None = None
    silent_on: Data | None = None
    runs_before: int = 0

    @property
    def sites(self) -> tuple[Site, ...]:
        """All sites, each once."""
        return tuple(dict.fromkeys(site for pool in self.pools for site in pool.sites))


@dataclass(frozen=True)
class Picked:
    """What was taken, after weights and data were read.

    Attributes:
        selection: The selection, its counts now exact.
        indices: For channels and modules: the taken units of each pool, ascending.
        masks: For weights: a boolean tensor by tensor name, true where taken, on the device of the tensor.
    """

    selection: Selection
    indices: tuple[tuple[int, ...], ...] = ()
    masks: "dict[str, TorchTensor]" = field(default_factory=dict)
