"""Both networks of a run, or one module of both, on named inputs: as they run, and as graphs that bounds are of."""

import copy
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn

from surgery_dsl.evidence.bounds.alignment import Alignment
from surgery_dsl.evidence.bounds.graph import Graph, Unbounded
from surgery_dsl.evidence.bounds.input_sets import Layout
from surgery_dsl.evidence.bounds.record import record
from surgery_dsl.evidence.bounds.rounding import Unsound
from surgery_dsl.run.outputs import first_output
from surgery_dsl.run.session import Session
from surgery_dsl.trace.dtypes import BY_NAME

Graphs = dict[tuple[object, ...], Graph]
"""Graphs of the base by the module and the inputs that they were recorded with."""


@final
class RecordedNetworks:
    """The base and the network here, on the inputs of a region.

    Args:
        session: The run.
        layout: How named inputs go into the graphs.
        inside: The module of the base that is meant; empty for the whole network.
        known: Graphs of the base that were recorded before; a new one is added.

    Attributes:
        old: The base.
        new: The network here.

    Raises:
        Unbounded: A forward that bounds do not reach, or outputs of different shapes.
    """

    def __init__(self, session: Session, layout: Layout, inside: str, known: Graphs) -> None:
        self._session, self._layout, self._inside = session, layout, inside
        if not layout.shapes:
            raise Unbounded("every input has one value: there is no region to bound over, only outputs to compare")
        example = [one.to(session.device) for one in layout.example(self.dtype)]
        key = (inside, *layout.key)
        if key not in known:
            known[key] = record(session.base(), example, forward=self._forward(0, session.base()))
        self.old = known[key]
        self.new = record(session.model, example, forward=self._forward(1, session.model))
        if self.old.nodes[self.old.output].shape != self.new.nodes[self.new.output].shape:
            raise Unbounded("the outputs of the two networks have different shapes")
        for side, graph in enumerate((self.old, self.new)):
            self._refuse_other_outputs(graph, side, example)

    @property
    def dtype(self) -> torch.dtype:
        """Of real numbers, as the networks are given them."""
        session = self._session
        floats = (tensor.dtype for tensor in session.base().parameters() if tensor.is_floating_point())
        own = next(floats, torch.float32)
        locked = (BY_NAME[session.base_interface.values[port.value].dtype] for port in session.base_interface.inputs)
        given = own if self._inside else next((dtype for dtype in locked if dtype.is_floating_point), own)
        return session.settings.torch_dtype() or given

    def named(self, *point: Tensor) -> dict[str, Tensor]:
        """Return the inputs of the networks at a point of the region, [n, …], in the run's dtype."""
        return self._as_given(self._layout.named(*point), self.dtype)

    def outputs(self, side: int, *point: Tensor, dtype: "torch.dtype | None" = None) -> Tensor:
        """Run the first or the second network's own modules, in the run's dtype or another."""
        model = (self._session.base(), self._session.model)[side]
        with torch.no_grad():
            network = model if dtype is None else copy.deepcopy(model).to(dtype)
            return self._run(side, network, self._as_given(self._layout.named(*point), dtype or self.dtype))

    @staticmethod
    def _as_given(inputs: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
        return {name: value.to(dtype) if value.is_floating_point() else value for name, value in inputs.items()}

    def _forward(self, side: int, model: nn.Module) -> Callable[..., Tensor]:
        def forward(*inputs: Tensor) -> Tensor:
            return self._run(side, model, self._as_given(self._layout.named(*inputs), self.dtype))

        return forward

    def _run(self, side: int, model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
        """Run a network, or the module of it that is meant."""
        session, path = self._session, self._inside
        if not path:
            return first_output(session.run(model, inputs), session.plan.patient.outputs)
        path = path if side == 0 else Alignment(session.edits).moved(path)
        try:
            module = model.get_submodule(path)
        except AttributeError:
            raise Unbounded(f"the module `{self._inside}` of the base is gone") from None
        return first_output(module(*inputs.values()))

    def _refuse_other_outputs(self, graph: Graph, side: int, example: list[Tensor]) -> None:
        """Refuse a recorded forward that gives other outputs than the network: it would be another network's bound."""
        own = self.outputs(side, *example).double()
        points = [one.double() if one.is_floating_point() else one for one in example]
        found = graph.run(*(one.unsqueeze(0) for one in points))[0].reshape(own.shape)
        room = torch.finfo(self.dtype).eps ** 0.5 * (1 + float(own.abs().max()))
        if not float((own - found).abs().max()) <= room:
            raise Unbounded("the forward does not do the same on every input: it is random, or goes by values")


def refuse_other_kernels(session: Session) -> None:
    """Refuse a claim about float32 where kernels may round otherwise than operation by operation."""
    device, dtype = session.device, session.settings.torch_dtype()
    precision = torch.get_float32_matmul_precision()
    if device.type != "cpu":
        raise Unsound(f"kernels on `{device}` are not known to round operation by operation (TF32, Winograd)")
    if precision != "highest":
        raise Unsound(f"torch's float32 products run at precision `{precision}`, not in float32")
    own = {parameter.dtype for parameter in session.model.parameters() if parameter.is_floating_point()}
    if (own | ({dtype} if dtype else set())) - {torch.float32}:
        raise Unsound("the network does not run in float32 alone")
