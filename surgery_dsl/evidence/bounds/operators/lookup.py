"""Rows of a table by tokens."""

from surgery_dsl.evidence.bounds.graph import Call, Lookup, Source
from surgery_dsl.evidence.bounds.operators import rule


@rule("embedding")
def embedding(call: Call) -> Lookup:
    """One row for each token."""
    table, tokens = call.arguments[:2]
    if not isinstance(tokens, Source) or isinstance(table, Source):
        raise call.refuse("its table depends on the input")
    return Lookup((tokens.node,), call.shape, call.operator, call.module, table.detach().double())
