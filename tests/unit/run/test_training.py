"""Training, held to a loop written by hand in plain torch: the same bits come out."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from surgery_dsl.language.plan import Recover
from surgery_dsl.language.read import read_plan
from surgery_dsl.run import training
from surgery_dsl.run.apply import apply
from tests.unit.run.conftest import NETWORK

RECOVER = """
recover tune {{
  data = train
  {length}
  optimizer = {optimizer}
  {more}
  loss = {loss}
  seed = 11
}}
"""


def built(folder: Path) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    scope: dict = {}
    exec(NETWORK, scope)
    net = scope["build"]()
    net.load_state_dict(load_file(folder / "net.safetensors"))
    return net, *scope["data"]()


def by_hand(folder: Path, epochs: int, optimizer: Callable, rate: Callable, step: Callable) -> nn.Module:
    net, x, y = built(folder)
    opt = optimizer(net)
    generator = torch.Generator().manual_seed(11)
    total, position = 3 * epochs, 0
    net.train()
    for _ in range(epochs):
        for batch in torch.randperm(96, generator=generator).split(32):
            for group in opt.param_groups:
                group["lr"] = rate(position, total, group.get("base", None))
            opt.zero_grad()
            step(net, x[batch], y[batch]).backward()
            net.clip()
            opt.step()
            position += 1
    return net


def run(plan: Callable, tmp_path: Path, **parts: str) -> dict[str, torch.Tensor]:
    text = RECOVER.format(**{"length": "epochs = 2", "more": "", "loss": "cross_entropy"} | parts)
    outcome = apply(plan(text), tmp_path / "out", allow_code=["network:*"], device="cpu")
    assert outcome.output, [d.message for d in outcome.diagnostics]
    return load_file(tmp_path / "out" / "model.safetensors")


def assert_same(found: dict[str, torch.Tensor], net: nn.Module) -> None:
    for name, tensor in net.state_dict().items():
        assert torch.equal(found[name], tensor), name


@pytest.fixture(autouse=True)
def _no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    from surgery_dsl.run import reload

    class Agrees:
        def __enter__(self) -> "Agrees":
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def ask(self, job: object, timeout: float = 0) -> reload.Answer:
            return reload.Answer(same_bits=True)

    monkeypatch.setattr(reload, "Reloader", Agrees)


def test_adamw_with_warm_up_cosine_and_clipping(plan: Callable, folder: Path, tmp_path: Path) -> None:
    found = run(
        plan,
        tmp_path,
        optimizer="adamw(lr = 3e-2, decay = 0.1)",
        more="schedule = cosine(warmup = 2)\n  clip = 0.5",
    )

    def rate(position: int, total: int, _base: object) -> float:
        if position < 2:
            return 3e-2 * (position + 1) / 2
        return 0.0 + (3e-2 - 0.0) * (1 + math.cos(math.pi * math.fmod((position - 2) / (total - 2), 1.0))) / 2

    def optimizer(net: nn.Module) -> torch.optim.Optimizer:
        net.clip = lambda: nn.utils.clip_grad_norm_(net.parameters(), 0.5)
        return torch.optim.AdamW(net.parameters(), lr=3e-2, weight_decay=0.1)

    net = by_hand(folder, 2, optimizer, rate, lambda n, x, y: nn.functional.cross_entropy(n(x), y))
    assert_same(found, net)


def test_sgd_with_momentum_is_torchs_bit_for_bit(plan: Callable, folder: Path, tmp_path: Path) -> None:
    found = run(plan, tmp_path, optimizer="sgd(lr = 0.05, momentum = 0.9, nesterov = true)")

    def optimizer(net: nn.Module) -> torch.optim.Optimizer:
        net.clip = lambda: None
        return torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, nesterov=True)

    net = by_hand(folder, 2, optimizer, lambda *_: 0.05, lambda n, x, y: nn.functional.cross_entropy(n(x), y))
    assert_same(found, net)


def test_layerwise_rates_reach_the_optimizer(plan: Callable, folder: Path, tmp_path: Path) -> None:
    found = run(plan, tmp_path, optimizer="sgd(lr = layerwise(0.1, decay = 0.5))")

    def optimizer(net: nn.Module) -> torch.optim.Optimizer:
        net.clip = lambda: None
        order = [net.first, net.norm, net.second, net.head]
        return torch.optim.SGD(
            [{"params": list(m.parameters()), "base": 0.1 * 0.5 ** (3 - i)} for i, m in enumerate(order)], lr=0.0
        )

    net = by_hand(folder, 2, optimizer, lambda _p, _t, base: base, lambda n, x, y: nn.functional.cross_entropy(n(x), y))
    assert_same(found, net)


def test_weights_of_terms_and_a_teacher(plan: Callable, folder: Path, tmp_path: Path) -> None:
    found = run(
        plan, tmp_path, optimizer="sgd(lr = 0.05)", loss="0.25 * cross_entropy + 0.75 * distill(base, temperature = 3)"
    )
    teacher, _, _ = built(folder)
    teacher.eval()

    def optimizer(net: nn.Module) -> torch.optim.Optimizer:
        net.clip = lambda: None
        return torch.optim.SGD(net.parameters(), lr=0.05)

    def step(net: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        outputs = net(x)
        with torch.no_grad():
            taught = torch.log_softmax(teacher(x) / 3, 1)
        learned = torch.log_softmax(outputs / 3, 1)
        kl = nn.functional.kl_div(learned, taught, log_target=True, reduction="batchmean")
        return 0.25 * nn.functional.cross_entropy(outputs, y) + 0.75 * 9 * kl

    net = by_hand(folder, 2, optimizer, lambda *_: 0.05, step)
    for name, tensor in net.state_dict().items():
        assert torch.allclose(found[name], tensor, rtol=1e-4, atol=1e-6), name


def test_steps_may_end_inside_an_epoch(plan: Callable, folder: Path, tmp_path: Path) -> None:
    found = run(plan, tmp_path, length="steps = 4", optimizer="sgd(lr = 0.05)")
    net, x, y = built(folder)
    opt = torch.optim.SGD(net.parameters(), lr=0.05)
    generator = torch.Generator().manual_seed(11)
    net.train()
    batches = [b for _ in range(2) for b in torch.randperm(96, generator=generator).split(32)]
    for batch in batches[:4]:
        opt.zero_grad()
        nn.functional.cross_entropy(net(x[batch]), y[batch]).backward()
        opt.step()
    assert_same(found, net)


@pytest.mark.parametrize(
    ("delta", "epochs", "factor"), [(0.0, 1, 1.0), (0.05, 1, 0.95), (0.31, 4, 0.69), (1.0, 10, 0.1), (2.5, 25, 0.1)]
)
def test_auto_is_the_formula_of_its_docstring(delta: float, epochs: int, factor: float) -> None:
    text = RECOVER.format(length="epochs = auto", optimizer="sgd(lr = 0.1)", more="", loss="cross_entropy")
    from tests.unit.run.conftest import PLAN

    plan, found = read_plan(PLAN + text, "plan.surg")
    assert plan is not None, found
    step = plan.steps[0]
    assert isinstance(step, Recover)
    length = training.length(step, 7, delta)
    assert (length.epochs, length.steps) == (epochs, 7 * epochs)
    assert length.factor == pytest.approx(factor)


def test_stages_shuffle_differently_and_build_new_optimizers(
    plan: Callable, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    original = training._prepare

    def noted(*args: object) -> object:
        made = original(*args)
        seen.append((made.optimizer, dict(made.optimizer.state), made.batches))
        return made

    monkeypatch.setattr(training, "_prepare", noted)
    text = """
    identify small {
      in = linear("**")
      unit = weights
      by = magnitude(p = 1)
      per = global
    }
    recover between_steps {
      data = train
      epochs = 1
      optimizer = sgd(lr = 0.05, momentum = 0.9)
      loss = cross_entropy
    }
    excise small {
      mode = zero
      schedule = cubic(0% -> 80%, steps = 3)
      between = between_steps
    }
    """
    outcome = apply(plan(text), None, allow_code=["network:*"], device="cpu")
    assert outcome.predicate is not None, outcome.diagnostics
    assert len(seen) == 3
    assert len({id(optimizer) for optimizer, _, _ in seen}) == 3
    assert all(state == {} for _, state, _ in seen)
    losses = [record.losses for record in outcome.predicate.training]
    assert [record.stage for record in outcome.predicate.training] == [1, 2, 3]
    assert len(set(losses)) == 3
    # Zhu and Gupta's shares after stages 1, 2, 3 of 3, of 72 + 144 + 48 weights.
    shares = [0.8 * (1 - (1 - t / 3) ** 3) for t in (1, 2, 3)]
    taken = [sum(pool.taken for pool in record.pools) for record in outcome.predicate.selections]
    assert taken == [round(264 * share) for share in shares]
