"""It imports torch where it is read."""

from collections.abc import Sequence
from typing import ClassVar, final

import torch

from surgery_dsl.interface.draft import Draft
from surgery_dsl.vocabulary.context import Change, Effect, Place, Runtime, Static
from surgery_dsl.vocabulary.kinds import Transform
from surgery_dsl.vocabulary.word import Card


@final
class NeedsTorch(Transform):
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
        example="needs_torch()",
        near_miss="needs_torch(1)",
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
        names = [f"{site.module}.weight" for site in place.sites]
        assert torch.is_tensor(runtime.tensor(names[0]))
        return [Change(tensors={name: runtime.tensor(name).detach() * 2 for name in names})]
