"""Tensors by name."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, final

from pydantic import Field

from surgery_dsl.diagnostics.codes import names
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Static
from surgery_dsl.vocabulary.selection import Site
from surgery_dsl.vocabulary.sites._paths import PathSites
from surgery_dsl.vocabulary.word import Card


@final
class Param(PathSites):
    """Parameters by name.

    Arguments:
        pattern: A path pattern over the names of parameters (`blocks.*.fc1.weight`). A tied parameter goes by each of
            its names.
        dim: Which dimension is meant, from 0, where units along a dimension are picked; a tensor of one dimension needs
            none.
        except: Patterns of names to leave out; each must match something.

    Static rule:
        Every parameter whose name matches is a site. A pattern that matches nothing is an error that names the closest
        names, as is a dimension that a matched tensor does not have.

    Source:
        torch.nn.Module.named_parameters
    """

    card: ClassVar[Card] = Card(
        summary="Match parameters by name",
        source="torch.nn.Module.named_parameters",
        example='param("hidden.*.weight", dim = 0)',
        near_miss='param("hidden.*.wait")',
        near_miss_code="SD120",
    )

    dim: Annotated[int, Field(ge=0)] | None = None

    def candidates(self, interface: Interface) -> Sequence[Site]:
        """Return every parameter, in module order."""
        return tuple(
            Site(word=self.name, path=tensor.name, module=tensor.name.rpartition(".")[0])
            for tensor in interface.tensors
            if tensor.role == "parameter"
        )

    def resolve(self, interface: Interface, context: Static) -> tuple[Site, ...]:
        """Return the parameters; where a dimension is meant, the path says which (``embed.weight[0]``)."""
        sites = super().resolve(interface, context)
        if self.dim is None:
            return sites
        for site in sites:
            rank = len(interface.tensor_by_name[site.path].dims)
            if self.dim >= rank:
                context.say(
                    Diagnostic(
                        names.INDEX_OUT_OF_RANGE,
                        f"`{site.path}` has {rank} dimension{'' if rank == 1 else 's'}, and none is {self.dim}",
                        file=context.file,
                        span=self.span,
                        path=site.path,
                        facts={"dim": self.dim, "dimensions": rank},
                        help=f"write dim = {max(rank - 1, 0)} or less, or except the tensor",
                    )
                )
                return ()
        return tuple(site.replaced(path=f"{site.path}[{self.dim}]") for site in sites)
