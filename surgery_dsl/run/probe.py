"""A batch of inputs to try a network on: examples of the plan's data where they fit, else numbers of our own."""

from collections.abc import Mapping

import torch
from torch import Tensor

from surgery_dsl.evidence.named_inputs import main, named
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.run.session import Session
from surgery_dsl.trace.dtypes import BY_NAME

EXAMPLES = 16


def probe_inputs(session: Session, examples: int = EXAMPLES) -> Mapping[str, Tensor]:
    """Return named inputs on the run's device, always the same for one plan; at most so many examples of its data."""
    specs = session.settings.cast(session.plan.patient.inputs)
    for block in session.plan.data:
        data = session.data(block.name)
        if len(specs) == 1:
            if _fits(main(data.inputs), specs[0]):
                return {specs[0].name: data.moved(main(data.inputs)[:examples])}
        else:
            have = named(data.inputs)
            if all(spec.name in have and _fits(have[spec.name], spec) for spec in specs):
                return {spec.name: data.moved(have[spec.name][:examples]) for spec in specs}
    generator = torch.Generator().manual_seed(0)
    sizes = {free.name: min(max(free.least, 3), free.most or 3) for free in session.base_interface.free}
    return {spec.name: _drawn(spec, sizes, generator).to(session.device) for spec in specs}


def _fits(inputs: Tensor, spec: InputSpec) -> bool:
    return inputs.is_floating_point() == BY_NAME[spec.dtype].is_floating_point and spec.takes(inputs.shape)


def _drawn(spec: InputSpec, sizes: Mapping[str, int], generator: torch.Generator) -> Tensor:
    shape = spec.shape({**dict.fromkeys(spec.names, 3), **sizes})
    dtype = BY_NAME[spec.dtype]
    if dtype.is_floating_point:
        return torch.randn(shape, generator=generator).to(dtype)
    return torch.randint(0, spec.below or 2, shape, generator=generator).to(dtype)
