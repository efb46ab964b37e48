"""Running a network to look at it: what its forward keeps for next time does not outlive the look.

Forwards fill caches: a table of positions in an attribute, a bias picked from a parameter in a dictionary, a function
that remembers. An edit of the network would leave them as they are, and the edited network would read tensors of the
old sizes; a clean process that loads the result has none.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from surgery_dsl.diagnostics.span import Span
from surgery_dsl.run.failures import network_reported
from surgery_dsl.trace.caches import fresh_caches
from surgery_dsl.trace.keeping import unchanged


@contextmanager
def looking(model: nn.Module, what: str, file: str, span: Span | None = None, after: str = "") -> Iterator[None]:
    """Leave a network as it was, its caches too, and turn what its forward raises into a diagnostic.

    Args:
        model: The network.
        what: Why it runs, as in "while `loss` was measured".
        file: The plan's file.
        span: The line of the plan.
        after: The step that changed the network last; empty for none.

    Raises:
        Refused: With SD508, the path of the module that failed, and the first line of what it said.
    """
    fix = f"see what the forward asks of its own sizes on this data; without `{after}` it may run" if after else ""
    when = f"{what} after `{after}`" if after else what
    with network_reported(when, file, span, model, fix), unchanged(model), fresh_caches(model):
        yield
