"""Heads by how loudly they speak, against hooks on the output projection."""

import torch
from torch import Tensor

from surgery_dsl.language.read import read_plan
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
        assert read_plan(text)[0] is not None
        assert workbench.errors(text) == []
        operation = operate(workbench, text)
        picked = operation.session.picked("quiet")
        network = networks.attention().eval()
        inputs, _ = networks.data("attention")
        for pool, taken in zip(picked.selection.pools, picked.indices, strict=True):
            holder = pool.sites[0].module
            seen: list[Tensor] = []
            block = network.get_submodule(holder)
            hook = block.get_submodule("out").register_forward_pre_hook(lambda _, args: seen.append(args[0]))
            with torch.no_grad():
                network(inputs[:32])
            hook.remove()
            (entered,) = seen
            loud = entered.double().abs().unflatten(-1, (pool.size, -1)).mean((0, 1, 3))
            assert taken == (int(loud.argmin()),)
