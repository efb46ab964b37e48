"""Whether a data set's targets fit a network's outputs, as the losses have it, and whether outputs can be compared."""

from surgery_dsl.diagnostics.codes import budgets, runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary import catalogue
from surgery_dsl.vocabulary.context import Static
from surgery_dsl.vocabulary.kinds import Quantity, Region


def targets_fit(data: str, span: Span | None, context: Static, *, labels: bool) -> None:
    """Report targets that do not fit: class numbers where ``labels`` says so, else labels or numbers as they come."""
    facts = context.data.get(data)
    if facts is None:
        return
    if facts.tokens and not labels:
        catalogue.find("losses", "next_token")(span=span).check(context.interface, facts, context)
        return
    loss = "cross_entropy" if labels or facts.label_range is not None else "mse"
    catalogue.find("losses", loss)(span=span).check(context.interface, facts, context)


def outputs_comparable(span: Span | None, context: Static) -> None:
    """Report outputs that have other sizes than the base's: there is no difference to take then."""
    before, after = (output_sizes(interface) for interface in (context.base, context.interface))
    if before != after:
        context.say(
            Diagnostic(
                runs.TARGETS_DO_NOT_FIT,
                f"the base gives {list(before)}, the network here {list(after)}: there is no change to measure",
                file=context.file,
                span=span,
                path=context.interface.outputs[0].name,
                facts={"base": str(list(before)), "now": str(list(after))},
                help="measure the change before the step that changes the outputs, or compare accuracies",
            )
        )


def classes_fit(region: Region, span: Span | None, context: Static) -> None:
    """Report outputs of which no cross-entropy is bounded over a region, and examples without class labels."""
    outputs_comparable(span, context)
    sizes = output_sizes(context.interface)
    data = getattr(region, "data", None)
    facts = context.data.get(data) if isinstance(data, str) else None
    unlabelled = facts is not None and region.around_examples and (facts.label_range is None or facts.target_shape)
    if len(sizes) == 2 and sizes[1] is not None and not unlabelled:
        return
    why = f"`{data}` has no class labels" if unlabelled else f"the outputs {list(sizes)} are not one row of classes"
    context.say(
        Diagnostic(
            runs.TARGETS_DO_NOT_FIT,
            f"the cross-entropy has no bound over a region here: {why}",
            file=context.file,
            span=span,
            help="bound the change of the outputs instead: `certify change(REGION) <= NUMBER`",
        )
    )


def arithmetic_of_bounds(word: Quantity, context: Static) -> None:
    """Report an arithmetic that is given where nothing is bounded."""
    given = [name for name, usual in (("arithmetic", "real"), ("at", "")) if getattr(word, name, usual) != usual]
    if isinstance(getattr(word, "data", None), str) and given:
        context.say(
            Diagnostic(
                budgets.NOT_A_BOUND,
                f"`{word.written()}` is measured, on the network as it runs: `{given[0]}` belongs to bounds",
                file=context.file,
                span=word.span,
                help=f"leave `{given[0]}` out, or name a region in a `certify` line",
            )
        )


def output_sizes(interface: Interface) -> tuple[int | None, ...]:
    """Return the sizes of a network's first output; ``None`` where one is open or free."""
    return tuple(interface.exact(dim) for dim in interface.values[interface.outputs[0].value].dims)
