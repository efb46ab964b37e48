"""Axes that keep their sizes for where they lie, whatever operators they flow through."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from surgery_dsl.interface import frozen
from surgery_dsl.trace.atoms import distinct_leaves
from surgery_dsl.trace.propagate import Flow
from surgery_dsl.trace.recorder import Recording

if TYPE_CHECKING:
    from surgery_dsl.trace.build import TensorFacts


def freeze_places(flow: Flow, recording: Recording, facts: "Sequence[TensorFacts]") -> None:
    """Freeze what the contract holds, what no parameter carries, and what the forward does not always read."""
    _freeze_contract(flow, recording)
    _freeze_uncarried(flow, recording, facts)
    _freeze_like_unread(flow, recording, facts)


def _freeze_contract(flow: Flow, recording: Recording) -> None:
    for _, ref in recording.outputs:
        for leaf in distinct_leaves(flow.states[ref].dims):
            leaf.frozen.setdefault(frozen.OUTPUT)


def _freeze_uncarried(flow: Flow, recording: Recording, facts: "Sequence[TensorFacts]") -> None:
    """Freeze what no parameter carries, and what only parameters carry that the forward does not read."""
    of_parameters = {
        id(leaf)
        for fact in facts
        if fact.is_parameter
        for leaf in distinct_leaves(flow.states[recording.tensors[fact.name]].dims)
    }
    for fact in facts:
        for leaf in distinct_leaves(flow.states[recording.tensors[fact.name]].dims):
            if id(leaf) not in of_parameters:
                leaf.frozen[frozen.BUFFER] = None
            elif fact.owner not in flow.read:
                leaf.frozen[frozen.UNREAD] = None
    for leaf in distinct_leaves(dim for value in flow.values for dim in value.dims):
        if not leaf.frozen and id(leaf) not in of_parameters:
            leaf.frozen[frozen.UNCARRIED] = None


def _freeze_like_unread(flow: Flow, recording: Recording, facts: "Sequence[TensorFacts]") -> None:
    """Freeze what parameters of entries of a list carry where the forward read some of the entries and others not.

    A forward that chooses entries by values (experts) will read the others for other inputs: what the ones that it
    read are coupled with says nothing of these.
    """

    def form(fact: "TensorFacts") -> tuple[str, tuple[int, ...]]:
        return re.sub(r"\d+", "*", fact.name), tuple(fact.tensor.shape)

    unread = {form(fact) for fact in facts if fact.is_parameter and fact.owner not in flow.read and "." in fact.name}
    unread = {one for one in unread if "*" in one[0]}
    for fact in facts if unread else ():
        if fact.owner in flow.read and form(fact) in unread:
            for dim in flow.states[recording.tensors[fact.name]].dims:
                flow.axes.freeze(dim, frozen.CHOSEN)
