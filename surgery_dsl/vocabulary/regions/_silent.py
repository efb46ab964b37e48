"""Units that are proved silent on a region: what the quantity and the take ``proved_dead`` share."""

from typing import TYPE_CHECKING

from surgery_dsl.diagnostics.codes import runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.model import Interface
from surgery_dsl.interface.reach import out_of_reach
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import Region
from surgery_dsl.vocabulary.regions._inputs import corners, one_real_input

if TYPE_CHECKING:
    import torch

    from surgery_dsl.evidence.silence import Silence


def provable(region: Region, span: Span | None, fix: str, context: Static) -> None:
    """Report a region that does not fit the network's input, and the first operator that no bound reaches."""
    if one_real_input(span, context):
        region.check(context)
    why, module = next(out_of_reach(context.interface), ("", ""))
    if why:
        context.say(_unproved(why, module, span, fix, context.file))


def silence_on(
    region: Region, model: "torch.nn.Module", interface: Interface, span: Span | None, fix: str, runtime: Runtime
) -> "tuple[Silence, ...]":
    """Return what is proved of every ReLU over a region; raise ``Refused`` where an operator has no bound."""
    from surgery_dsl.evidence.bounds.graph import Unbounded
    from surgery_dsl.evidence.bounds.rounding import Unsound
    from surgery_dsl.evidence.metrics import evaluating
    from surgery_dsl.evidence.silence import proved_silence

    try:
        with evaluating(model):
            proof = proved_silence(model, interface, corners(region, runtime).to(runtime.device))
    except (Unbounded, Unsound) as why:
        raise Refused(_unproved(str(why), "", span, fix, runtime.file)) from why
    runtime.show(region.said(), proof)
    return proof.found


def _unproved(why: str, module: str, span: Span | None, fix: str, file: str) -> Diagnostic:
    text = f"no unit can be proved dead: {why}"
    return Diagnostic(runs.NOT_CERTIFIED, text, file=file, span=span, path=module, help=fix)
