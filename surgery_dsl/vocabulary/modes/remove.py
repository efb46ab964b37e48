"""Take structure away."""

from collections.abc import Sequence
from typing import ClassVar, final

from surgery_dsl.diagnostics.codes import shapes
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.draft import Draft
from surgery_dsl.vocabulary.context import Change, Effect, Runtime, Static
from surgery_dsl.vocabulary.kinds import Mode
from surgery_dsl.vocabulary.modes import _channels
from surgery_dsl.vocabulary.selection import Picked, Selection
from surgery_dsl.vocabulary.units._axes import ALONG_AXES
from surgery_dsl.vocabulary.word import Card


@final
class Remove(Mode):
    """Delete the selected structure and everything coupled to it.

    Static rule:
        Channels: their axis shrinks, and with it every tensor, integer attribute and operator that carries it,
        through ties, shared modules, norms, residual streams and concatenations. At least one stays. An axis of the
        network's outputs or inputs may shrink only where the step says `changes = outputs` or `changes = inputs`; any
        other frozen axis may not, and the finding says why it is frozen. Modules: entries of a ModuleList or
        Sequential leave it and those behind move up, which renames their tensors; each must give what it takes (equal
        widths), so that the next can read its input. Experts that are modules of a list leave it with their rows of the
        router. Single weights cannot be removed. The function changes: units
        that were dead on data are not proved dead on other inputs. Units that `proved_dead(REGION)` took leave it as it
        is for the inputs of the region.

    Runtime rule:
        Channels: one edit with the entries that stay of each dimension. What a dead channel still gives (its bias,
        behind norm and activation) moves into the biases of its readers, exactly; where it cannot, the step is refused,
        unless it says `changes = values`. Modules: one edit that drops them.

    Source:
        Li et al., ICLR 2017 (channels); Men et al., arXiv:2403.03853 (modules).
    """

    card: ClassVar[Card] = Card(
        summary="Delete the selected structure and what is coupled to it",
        source="Li et al., ICLR 2017; Men et al., arXiv:2403.03853",
        example="remove",
        near_miss="removed",
        near_miss_code="SD105",
        function="exact",
        interface=frozenset({"widths", "topology", "inputs", "outputs"}),
    )

    def transfer(self, selection: Selection, draft: Draft, context: Static) -> Effect:
        """Shrink axes or drop modules."""
        if selection.unit in ALONG_AXES:
            return _channels.shrink(selection, draft, context, self.span)
        if selection.unit == "modules":
            from surgery_dsl.vocabulary.modes import _modules  # what rewires forwards is read only where it is needed

            return _modules.drop(selection, draft, context, self.span)
        context.say(
            Diagnostic(
                shapes.WEIGHTS_STAY,
                f"`{selection.step}` picks single weights, which cannot be removed from a tensor",
                file=context.file,
                span=self.span,
                path=selection.pools[0].tensor if selection.pools else "",
                help="write mode = zero, or pick unit = channels",
            )
        )
        return Effect(function="none", matched=len(selection.sites))

    def execute(self, picked: Picked, runtime: Runtime) -> Sequence[Change]:
        """Return the edits, or nothing where nothing was picked."""
        if picked.selection.unit in ALONG_AXES:
            return _channels.cut(picked, runtime)
        from surgery_dsl.vocabulary.modes import _modules

        arranged = _modules.edit(picked, runtime.interface)
        return [Change(edit=arranged)] if arranged else []
