"""Criteria that take gradients over data."""

from abc import ABC
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from surgery_dsl.diagnostics.codes import runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.lock import DataFacts
from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.criteria._elementwise import Elementwise
from surgery_dsl.vocabulary.quantities._fits import targets_fit
from surgery_dsl.vocabulary.selection import Pool
from surgery_dsl.vocabulary.word import Names

if TYPE_CHECKING:
    import torch

    from surgery_dsl.evidence.named_inputs import Inputs


class OverData(Elementwise, ABC):
    """Scores weights with gradients of the loss that the targets suggest. Abstract.

    Attributes:
        data: Name of a data block.
        batches: How many of its batches are used; all where it is left out.
    """

    positional = ("data", "batches")

    data: Annotated[str, Names("data")]
    batches: Annotated[int, Field(ge=1)] | None = None

    def check(self, unit: str, pools: tuple[Pool, ...], context: Static) -> None:
        """Report codes in the place of weights, and targets that fit no loss on the network's first output."""
        super().check(unit, pools, context)
        facts = context.data.get(self.data)
        if facts is not None:
            self._check_targets(facts, context)

    def _check_targets(self, facts: DataFacts, context: Static) -> None:
        if facts.tokens:
            targets_fit(self.data, self.span, context, labels=False)
            return
        shape = first_output(context.interface)
        if facts.label_range is not None:
            classes = shape[1] if len(shape) > 1 else None
            if classes is not None and facts.label_range[1] >= classes:
                context.say(
                    Diagnostic(
                        runs.LABELS_DO_NOT_FIT,
                        f"labels of `{self.data}` go up to {facts.label_range[1]}, the network has {classes} classes",
                        file=context.file,
                        span=self.span,
                        path=context.interface.outputs[0].name,
                        facts={"label": facts.label_range[1], "classes": classes},
                        help="name data whose labels the network knows",
                    )
                )
        elif facts.target_shape and None not in shape[1:] and facts.target_shape != tuple(shape[1:]):
            context.say(
                Diagnostic(
                    runs.TARGETS_DO_NOT_FIT,
                    f"targets of `{self.data}` have the shape {list(facts.target_shape)}, the network gives "
                    f"{list(shape[1:])}",
                    file=context.file,
                    span=self.span,
                    path=context.interface.outputs[0].name,
                    facts={"targets": str(list(facts.target_shape)), "outputs": str(list(shape[1:]))},
                    help="name data whose targets have the shape of the outputs, or integer labels",
                )
            )

    def gradients(
        self,
        tensors: Iterable[str],
        runtime: Runtime,
        score: "Callable[[torch.Tensor], torch.Tensor] | None" = None,
        *,
        singly: bool = False,
    ) -> "Mapping[str, torch.Tensor]":
        """Return each tensor's mean gradient, or mean score of batch gradients; ``singly`` makes batches of one.

        In eval mode, so that norms use their statistics and nothing is dropped.
        """
        from surgery_dsl.evidence.gradients import accumulated

        loaded = runtime.data(self.data)
        limit, size = self.batches, None
        if singly:
            limit, size = (None if limit is None else limit * loaded.facts.batch), 1
        batches = loaded.batches(limit, size)
        each = size or loaded.facts.batch
        total = -(-loaded.facts.count // each) if limit is None else min(limit, -(-loaded.facts.count // each))
        named = {name: runtime.tensor(name) for name in tensors}
        told = _told(batches, self.data, total, runtime)
        found = accumulated(
            lambda inputs: runtime.outputs(runtime.model, inputs), named, told, score, tokens=loaded.facts.tokens
        )
        for name, gradient in found.items():
            if not bool(gradient.isfinite().all()):
                raise Refused(not_finite(f"the gradient of `{name}` on `{self.data}`", name, self.span, runtime))
        return found


def _told(
    batches: "Iterator[tuple[Inputs, torch.Tensor]]", data: str, total: int, runtime: Runtime
) -> "Iterator[tuple[Inputs, torch.Tensor]]":
    for done, batch in enumerate(batches):
        runtime.progress(f"gradients on {data}", done, total)
        yield batch


def not_finite(what: str, path: str, span: Span | None, runtime: Runtime) -> Diagnostic:
    """Say that scores cannot be told because the network's numbers are not finite."""
    return Diagnostic(
        runs.OUTPUTS_NOT_FINITE,
        f"{what} is NaN or infinite, so units cannot be ranked by it",
        file=runtime.file,
        span=span,
        path=path,
        help="look for the layer whose numbers overflow, or run with --dtype f32",
    )


def first_output(interface: Interface) -> tuple[int | None, ...]:
    """Return the shape of the network's first output; ``None`` where a size is open or free."""
    return tuple(interface.exact(dim) for dim in interface.values[interface.outputs[0].value].dims)
