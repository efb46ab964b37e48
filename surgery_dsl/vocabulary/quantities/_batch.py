"""Quantities of one batch that runs on this machine: whether there are examples enough, and the batch itself."""

from typing import TYPE_CHECKING

from surgery_dsl.diagnostics.codes import names
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.vocabulary.context import Runtime, Static

if TYPE_CHECKING:
    from surgery_dsl.evidence.named_inputs import Inputs


def enough(word: str, data: str, batch: int, span: Span | None, context: Static) -> None:
    """Report a batch of more examples than the data set has."""
    facts = context.data.get(data)
    if facts is None or facts.count >= batch:
        return
    context.say(
        Diagnostic(
            names.ARGUMENT_OUT_OF_RANGE,
            f"`{word}` runs {batch} examples at once, and `{data}` has {facts.count}",
            file=context.file,
            span=span,
            facts={"batch": batch, "examples": facts.count},
            help=f"write `batch = {facts.count}`, or less",
        )
    )


def first_batch(data: str, batch: int, runtime: Runtime) -> "Inputs":
    """Return the first examples of a data set, on the runtime's device."""
    inputs, _ = next(iter(runtime.data(data).batches(1, batch)))
    return inputs
