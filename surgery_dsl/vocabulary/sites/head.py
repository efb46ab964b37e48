"""The layer that writes an output."""

from collections.abc import Sequence
from typing import ClassVar, final

from surgery_dsl.interface.flow import WEIGHTED, Flow
from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.selection import Site
from surgery_dsl.vocabulary.sites._paths import PathSites, sites_of
from surgery_dsl.vocabulary.word import Card

_HEADS = WEIGHTED - {"embedding"}


@final
class Head(PathSites):
    """The layers that write the network's outputs: linear ones, and convolutions.

    Arguments:
        pattern: A path pattern, where a network has several heads; by default all of them.
        except: Patterns of paths to leave out; each must match something.

    Static rule:
        From each output back through operators without weights: the layers that are met first, linear ones and
        convolutions. A network whose outputs come from none has no head, which is an error.

    Source:
        The data flow of the forward.
    """

    card: ClassVar[Card] = Card(
        summary="Match the layers that write the outputs",
        source="the data flow of the forward",
        example="head()",
        near_miss='head("hidden.*")',
        near_miss_code="SD120",
    )

    pattern: str = "**"

    def candidates(self, interface: Interface) -> Sequence[Site]:
        """Return every head."""
        flow = Flow(interface)
        behind = {at for port in interface.outputs for at in flow.layers_behind(port.value)}
        return sites_of(self.name, sorted(at for at in behind if interface.operators[at].kind in _HEADS), interface)
