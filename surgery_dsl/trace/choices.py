"""Whether a forward chooses what it does by the values that it computes."""

from surgery_dsl.trace.graph import Traced

_BY_VALUES = {
    "nonzero",
    "nonzero_static",
    "_local_scalar_dense",
    "masked_select",
    "unique",
    "_unique",
    "_unique2",
    "unique_dim",
    "unique_consecutive",
    "is_nonzero",
    "equal",
}
"""Operators whose result, or its shape, lets Python code go one way or another."""


def chosen_by_values(traced: Traced) -> str:
    """Return where a forward looks at values that follow from its input, empty where it nowhere does.

    Such a forward may do something else for another input, so that what holds of the way that was traced is not said of
    others: experts that get no token are not run.
    """
    recording, states = traced.recordings[0], traced.flow.states
    for record in recording.records:
        if record.operation.name not in _BY_VALUES:
            continue
        if any(states[ref].active for ref in record.reads if ref in states):
            path = recording.runs[record.run].path if record.run >= 0 else ""
            place = f"{path or 'the network'} at {record.source}" if record.source else path or "the network"
            return f"{record.operation.name.strip('_')} ({place})"
    return ""
