"""Heads by how loudly they speak, against hooks on the output projection."""

import torch
from torch import Tensor, nn

from tests.conformance import networks
from tests.conformance.live import operate
from tests.conformance.workbench import Workbench

PLAN = """surg 1

model net {{
  load = python("networks:attention")
  weights = "attention.safetensors"
  input = {input}
}}
data train {{
  load = python("networks:data", network = "attention")
  batch = 16
}}

identify quiet {{
  in = attention("**")
  unit = {unit}
  by = activation(train, batches = 2)
  take = lowest(1)
}}
excise quiet {{ mode = remove }}
"""


def test_the_quietest_head_goes(workbench: Workbench) -> None:
    for unit in ("heads", "kv_groups"):
        text = PLAN.format(input=networks.INPUTS["attention"], unit=unit)
        assert workbench.errors(text) == []
        operation = operate(workbench, text)
        picked = operation.session.picked("quiet")
        network = networks.attention().eval()
        inputs, _ = networks.data("attention")
        for pool, taken in zip(picked.selection.pools, picked.indices, strict=True):
            out = network.get_submodule(pool.sites[0].module).get_submodule("out")
            entered = taken_by(out, network, inputs[:32])
            loud = entered.double().abs().unflatten(-1, (pool.size, -1)).mean((0, 1, 3))
            assert taken == (int(loud.argmin()),)


def taken_by(layer: nn.Module, network: nn.Module, inputs: Tensor) -> Tensor:
    seen: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        network(inputs)
    hook.remove()
    (entered,) = seen
    return entered
