"""Units that were chosen before layers went are those of the same layers afterwards."""

import torch

from tests.conformance import networks
from tests.conformance.live import operate
from tests.conformance.workbench import Workbench

PLAN = f"""surg 1

model net {{
  load = python("networks:residual")
  weights = "residual.safetensors"
  input = {networks.INPUTS["residual"]}
}}
identify late {{
  in = module("blocks.*")
  unit = modules
  take = only([1])
}}
identify narrow {{
  in = linear("blocks.*.fc1")
  unit = channels
  by = magnitude(p = 1)
  take = lowest(25%)
}}
excise late
excise narrow
"""


def test_channels_follow_their_layer(workbench: Workbench) -> None:
    assert workbench.errors(PLAN) == []
    operation = operate(workbench, PLAN)
    before = networks.residual()
    for old, new in ((0, 0), (2, 1)):
        weight = before.get_parameter(f"blocks.{old}.fc1.weight").detach()
        kept = weight.abs().sum(1).argsort(stable=True)[8:].sort().values
        assert torch.equal(operation.final.model.get_parameter(f"blocks.{new}.fc1.weight").detach(), weight[kept])
