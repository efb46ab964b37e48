"""The plan and the network of the results that these tests verify."""

PLAN = """surg 1

model net {
  load = python("small:build")
  input = x("f32", [N, 6])
}

data test {
  load = python("small:test")
  batch = 16
}

identify some {
  in = linear("a")
  unit = channels
  take = only([1, 3])
}
excise some
control final {
  prove params <= 0.9 * base.params
  measure nonzero <= 100
  measure accuracy(test) >= base.accuracy(test) - 60pp
  measure change(test, norm = inf) <= 20.0
}
"""

NETWORK = """import torch
from torch import nn


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.b(torch.relu(self.a(x)))


def build():
    return Small()


def test():
    generator = torch.Generator().manual_seed(1)
    return torch.rand(64, 6, generator=generator), torch.randint(0, 3, (64,), generator=generator)
"""


RICH_PLAN = PLAN.replace(
    "data test {",
    """data fresh {
  load = python("small:fresh")
  batch = 64
}

data test {""",
).replace(
    "  measure nonzero <= 100\n",
    """  measure nonzero <= 100
  measure accuracy(fresh, confidence = 95%) >= base.accuracy(fresh) - 60pp
  certify change(box(test, eps = 1/255, samples = 4), norm = inf) <= 20.0
""",
)
RICH_NETWORK = f"""{NETWORK}

def fresh():
    generator = torch.Generator().manual_seed(2)
    return torch.rand(400, 6, generator=generator), torch.randint(0, 3, (400,), generator=generator)
"""
