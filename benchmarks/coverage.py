"""How often statistical bounds hold, beside the t-interval; and what measuring costs beside the forward passes.

    python benchmarks/coverage.py

Populations whose mean is known are sampled again and again. A one-sided 95 % bound should lie above the mean in 95 % of
samples. The rare catastrophe is the case that intervals from a normal approximation miss: one example in a thousand
loses 5, and most samples of 500 hold none.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from scipy import stats  # type: ignore[import-untyped]
from torch import Tensor, nn

from surgery_dsl.diagnostics.diagnostic import Sink
from surgery_dsl.evidence.named_inputs import Inputs
from surgery_dsl.evidence.statistics import bernstein, betting, binomial, choice, largest
from surgery_dsl.language.plan import Control
from surgery_dsl.language.read import read_plan
from surgery_dsl.proof.sequence import sequence
from surgery_dsl.proof.state import start
from surgery_dsl.run.evidence_record import RunEvidence
from surgery_dsl.run.grants import Grants
from surgery_dsl.run.load import Sources
from surgery_dsl.run.lock import lock_of
from surgery_dsl.run.points import Values
from surgery_dsl.run.session import Session
from surgery_dsl.run.settings import Settings
from surgery_dsl.run.steps import Steps

RISK = 0.05
CLIP = 5.0
RUNS = {500: 1000, 1800: 1000, 10_000: 200}


def quantile(count: int) -> float:
    return float(stats.t.ppf(1 - RISK, count - 1))


class Population:
    """Differences of losses, between −5 and 5, of which the mean is known."""

    def __init__(self, name: str, spread: float, rare: float) -> None:
        self.name, self.spread, self.rare = name, spread, rare

    @property
    def mean(self) -> float:
        return self.rare * CLIP

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        usual = (torch.rand(count, generator=generator, dtype=torch.float64) - 0.5) * self.spread * 12**0.5
        struck = torch.rand(count, generator=generator, dtype=torch.float64) < self.rare
        return torch.where(struck, torch.tensor(CLIP, dtype=torch.float64), usual)


POPULATIONS = [Population("even, sd 0.07", 0.07, 0.0), Population("rare catastrophe: +5 once in 1000", 0.006, 1e-3)]


def t_bound(values: Tensor) -> float:
    return float(values.mean() + quantile(len(values)) * torch.std(values) / len(values) ** 0.5)


def fixed() -> None:
    print("| population | n | method | above the mean | median width |\n|---|---|---|---|---|")
    methods: dict[str, Callable[[Tensor], float]] = {
        "t-interval": t_bound,
        "empirical Bernstein": lambda values: bernstein.upper_mean(values, -CLIP, CLIP, RISK),
        "betting": lambda values: betting.upper_mean(values, -CLIP, CLIP, RISK),
        "betting, any time": lambda values: betting.upper_mean(values, -CLIP, CLIP, RISK, looks=True),
    }
    for population in POPULATIONS:
        for count, runs in RUNS.items():
            generator = torch.Generator().manual_seed(count)
            samples = [population.sample(count, generator) for _ in range(runs)]
            for name, bound in methods.items():
                found = torch.tensor([bound(values) for values in samples], dtype=torch.float64)
                width = torch.tensor([float(values.mean()) for values in samples], dtype=torch.float64)
                held = float((found >= population.mean).double().mean())
                print(f"| {population.name} | {count} | {name} | {held:.3f} | {float((found - width).median()):.4f} |")
                sys.stdout.flush()


def peeking(most: int = 5000, every: int = 100, runs: int = 400) -> None:
    """Claim at the first look at which the bound lies below a margin just under the mean: every claim is false."""
    population = Population("sd 0.31", 0.31, 0.0)
    generator = torch.Generator().manual_seed(7)
    wrong = {"t-interval": 0, "betting, n fixed": 0, "betting, any time": 0}
    looks = torch.arange(every, most + 1, every)
    quantiles = torch.tensor([quantile(int(count)) for count in looks], dtype=torch.float64)
    for _ in range(runs):
        values = population.sample(most, generator)
        sums, squares = values.cumsum(0)[looks - 1], values.square().cumsum(0)[looks - 1]
        means = sums / looks
        spread = ((squares - looks * means.square()) / (looks - 1)).sqrt()
        wrong["t-interval"] += bool((means + quantiles * spread / looks.sqrt() < population.mean).any())
        few = range(every, most + 1, 5 * every)
        wrong["betting, n fixed"] += any(
            betting.upper_mean(values[:count], -CLIP, CLIP, RISK) < population.mean for count in few
        )
        # its stakes do not depend on how many examples will come, so that the last bound is the least of all
        wrong["betting, any time"] += betting.upper_mean(values, -CLIP, CLIP, RISK, looks=True) < population.mean
    print("\n| a look every 100 up to 5000 | false claims at some look |\n|---|---|")
    for name, count in wrong.items():
        print(f"| {name} | {count / runs:.3f} |")


def rates(runs: int = 4000) -> None:
    print("\n| rate | n | true | below the bound |\n|---|---|---|---|")
    generator = torch.Generator().manual_seed(3)
    for true, count in ((0.001, 500), (0.02, 355), (0.02, 1800)):
        hits = (torch.rand(runs, count, generator=generator) < true).sum(1).tolist()
        bounds = {hit: binomial.upper_rate(hit, count, RISK) for hit in set(hits)}
        print(f"| Clopper-Pearson | {count} | {true} | {sum(bounds[hit] >= true for hit in hits) / runs:.3f} |")
    for count in (299, 1800):
        share = largest.exceeded_at_most(count, RISK)
        tops = torch.rand(runs, count, generator=generator, dtype=torch.float64).amax(1)
        held = float(((1 - tops) <= share).double().mean())
        print(f"| order statistic | {count} | {share:.4f} | {held:.3f} |")


# ---- what data chose ---------------------------------------------------------------------------------------------

LIMIT = 0.02
KNOBS = {
    "ten, all just above the limit": [0.0201] * 10,
    "three good, then ten just above it": [0.004, 0.006, 0.008, *[0.0201] * 10],
    "rising from 0.4 % to 4 % in ten steps": [0.004 * step for step in range(1, 11)],
}
"""Shares of inputs that flip, by candidate, the safest first; flips of different candidates are independent."""


def choosing(runs: int = 10_000, count: int = 1800) -> None:
    """Choose the furthest of several candidates on one sample: how often is it one that breaks the limit?"""
    ways: dict[str, tuple[bool, float | None]] = {
        "what looks best: the last whose measured rate keeps the limit": (False, None),
        "the last whose bound keeps it, each at 5 %": (False, RISK),
        "`fixed_sequence()`": (True, RISK),
        "`bonferroni()`": (False, 0.0),
    }
    print("\n| candidates | chosen by | a bad one is chosen | mean place |\n|---|---|---|---|")
    for name, rates in KNOBS.items():
        generator = torch.Generator().manual_seed(11)
        shape = torch.tensor(rates, dtype=torch.float64).expand(runs, -1)
        samples = torch.binomial(torch.full_like(shape, count), shape, generator=generator).long().tolist()
        for way, (stops, risk) in ways.items():
            at = RISK / len(rates) if risk == 0.0 else risk
            bounds = {hits: _rate(hits, count, at) for hits in {hits for row in samples for hits in row}}
            places = [_furthest([bounds[hits] <= LIMIT for hits in row], stops=stops) for row in samples]
            wrong = sum(place > 0 and rates[place - 1] > LIMIT for place in places) / runs
            print(f"| {name} | {way} | {wrong:.3f} | {sum(places) / runs:.2f} |")


def _rate(hits: int, count: int, risk: float | None) -> float:
    return hits / count if risk is None else binomial.upper_rate(hits, count, risk)


def _furthest(passes: list[bool], *, stops: bool) -> int:
    """Return the place of the last candidate that is accepted, from 1; 0 where none is."""
    outcomes = choice.tested(range(len(passes)), lambda at: passes[at], stops=stops)
    return max((at + 1 for at, passed in outcomes if passed), default=0)


# ---- what it costs -----------------------------------------------------------------------------------------------

NETWORK = """
import torch
from torch import nn


def build():
    torch.manual_seed(0)
    block = lambda a, b, s: nn.Sequential(nn.Conv2d(a, b, 3, s, 1), nn.BatchNorm2d(b), nn.ReLU())
    return nn.Sequential(
        block(3, 64, 1), block(64, 128, 2), block(128, 256, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10),
    )


def data():
    generator = torch.Generator().manual_seed(1)
    return torch.rand(1024, 3, 32, 32, generator=generator), torch.randint(0, 10, (1024,), generator=generator)
"""
PLAN = """surg 1
model net {
  load = python("net:build")
  input = x("f32", [N, 3, 32, 32])
}
data test {
  load = python("net:data")
  batch = 128
}
identify weak {
  in = conv2d("**")
  unit = channels
  by = magnitude(p = 1)
  take = lowest(12%)
}
excise weak { mode = remove }
control final {
  measure accuracy(test) >= 0%
  measure loss(test) <= base.loss(test) + 100
  measure change(test, norm = inf) <= 1000
  measure change(test, norm = relative) <= 1000%
  measure accuracy(test, confidence = 95%) >= base.accuracy(test) - 90pp
  measure loss(test, confidence = 95%, clip = 5) <= base.loss(test) + 3
  measure flips(test, confidence = 95%) <= 90%
  measure change(test, norm = 2, confidence = 95%, exceeded = 5%) <= 1000
}
"""


def cost(runs: int = 5) -> None:
    """All lines of a control block on both networks, against their forward passes within; CPU seconds, one thread."""
    found = sorted((_cost() for _ in range(runs)), key=lambda one: one[1] / one[0])
    passes, spent = found[runs // 2]
    print("\n| 8 lines on 1024 images, both networks | CPU s |\n|---|---|")
    print(f"| one forward pass of each network | {passes:.3f} |\n| all that `measure` does | {spent:.3f} |")
    print(f"| ratio (at most 1.15) | {spent / passes:.3f} |")


def _cost() -> tuple[float, float]:
    """Return the CPU seconds of the forward passes while lines are measured, and of all that measures them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "net.py").write_text(NETWORK, encoding="utf-8")
        plan, found = read_plan(PLAN, str(folder / "plan.surg"), {})
        assert plan is not None, found
        grants, settings = Grants(patterns=("*",)), Settings(device="cpu", allow_code=("*",))
        sources = Sources(plan, folder, grants)
        lock = lock_of(sources, settings)
        session = _Timed(sources, lock, settings, lambda *_: None, needs_base=True)
        passes = spent = 0.0
        batches = 0
        with session.transaction:
            values = Values(session)
            steps = Steps(session, values, start(plan, lock, Sink(plan.file)), RunEvidence())
            for run in (None, *sequence(plan)):
                before, seen, began = session.seconds, session.batches, time.process_time()
                values.keep("base") if run is None else steps.execute(run)
                if run is None or isinstance(run.step, Control):
                    spent += time.process_time() - began
                    passes, batches = passes + session.seconds - before, batches + session.batches - seen
            session.transaction.commit()
    assert batches == 2 * 8, "each network runs over the data once"
    return passes, spent


class _Timed(Session):
    """A session that counts what its forward passes take."""

    seconds = 0.0
    batches = 0

    def outputs(self, model: nn.Module, inputs: Inputs) -> Tensor:
        began = time.process_time()
        found = super().outputs(model, inputs)
        self.seconds += time.process_time() - began
        self.batches += 1
        return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    fixed()
    peeking()
    rates()
    choosing()
    cost()
