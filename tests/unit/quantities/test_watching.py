"""What is watched is what the interface means by a path: a module's own result."""

import pytest
import torch
from torch import Tensor, nn

from surgery_dsl.evidence.watching import watch
from surgery_dsl.modules.insertion import insert, listening


class Twice(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, x], dim=1)


def network(*where: str) -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(12, 2) if "after" in where else nn.Linear(6, 2))
    for place in where:
        insert(model[1], place, place, {"after": Twice(), "before": nn.Tanh()}[place])  # type: ignore[arg-type]
    return model.eval()


@pytest.mark.parametrize("where", [(), ("after",), ("before",), ("before", "after")])
def test_inserted_children_are_not_part_of_what_their_host_writes(where: tuple[str, ...]) -> None:
    model, seen = network(*where), list[Tensor]()
    x = torch.randn(5, 4)
    watch(model, ["1"], [(x, x), (x, x)], lambda _, output: seen.append(output.clone()))
    with torch.no_grad():
        hidden = model[0](x)
        expected = torch.relu(hidden.tanh() if "before" in where else hidden)
    assert len(seen) == 2
    assert all(torch.equal(output, expected) for output in seen)


def test_listening_leaves_nothing_and_changes_nothing() -> None:
    for model in (network(), network("after")):
        x = torch.randn(5, 4)
        before, attributes = model(x), set(vars(model[1]))
        with listening(model[1], lambda output: output * 2):
            assert torch.equal(model(x), before)
        assert set(vars(model[1])) == attributes
        assert not model[1]._forward_hooks
