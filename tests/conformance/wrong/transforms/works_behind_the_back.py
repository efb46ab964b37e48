"""It changes the network itself, so that the record does not have it."""

from collections.abc import Sequence
from typing import ClassVar, final

from surgery_dsl.interface.draft import Draft
from surgery_dsl.vocabulary.context import Change, Effect, Place, Runtime, Static
from surgery_dsl.vocabulary.kinds import Transform
from surgery_dsl.vocabulary.word import Card


@final
class WorksBehindTheBack(Transform):
    """Twice the weight.

    Static rule:
        The weight of each site may change.

    Runtime rule:
        It is doubled.

    Source:
        This file.
    """

    card: ClassVar[Card] = Card(
        summary="Double weights",
        source="this file",
        example="works_behind_the_back()",
        near_miss="works_behind_the_back(1)",
        near_miss_code="SD110",
        function="changing",
        interface=frozenset({"values"}),
    )

    def transfer(self, place: Place, draft: Draft, context: Static) -> Effect:
        """Say what is written."""
        names = frozenset(f"{site.module}.weight" for site in place.sites) & context.interface.tensor_by_name.keys()
        return Effect(function="changing", writes=names, matched=len(place.sites), changed=len(names))

    def execute(self, place: Place, runtime: Runtime) -> Sequence[Change]:
        """Double it."""
        import torch

        names = [f"{site.module}.weight" for site in place.sites]
        for name in names:
            weight = runtime.tensor(name)
            weight.data = torch.cat([weight.data, weight.data], -1)
        return [Change(tensors={name: runtime.tensor(name).detach() * 2 for name in names})]
