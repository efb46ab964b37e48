"""Every outcome that a selection could have, and what the network that results then costs, worked out apart.

Nothing here reads a rule of the program: counts follow the language's page on ``identify``, and what a network costs is
counted on the network itself, built anew with the widths that stay, without values.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import product
from math import floor

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

Widths = tuple[int, ...]


# ---- networks of given widths ------------------------------------------------------------------------------------


class Chain(nn.Module):
    """Linear layers one after another."""

    def __init__(self, *widths: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip((3, *widths[:-1]), widths, strict=True))
        self.head = nn.Linear(widths[-1], 2)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = F.relu(layer(x))
        return self.head(x)


class Stream(nn.Module):
    """A residual stream with two blocks, each of an inner width."""

    def __init__(self, stream: int, one: int, two: int) -> None:
        super().__init__()
        self.stem = nn.Linear(3, stream)
        self.up = nn.ModuleList(nn.Linear(stream, inner) for inner in (one, two))
        self.down = nn.ModuleList(nn.Linear(inner, stream, bias=False) for inner in (one, two))
        self.head = nn.Linear(stream, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for up, down in zip(self.up, self.down, strict=True):
            x = x + down(F.relu(up(x)))
        return self.head(x)


class Square(nn.Module):
    """A residual stream through a layer as wide as itself: a product of a width with itself."""

    def __init__(self, stream: int, inner: int) -> None:
        super().__init__()
        self.stem, self.same, self.norm = nn.Linear(3, stream), nn.Linear(stream, stream), nn.BatchNorm1d(stream)
        self.inner, self.head = nn.Linear(stream, inner), nn.Linear(inner, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(F.relu(self.inner(self.norm(x + self.same(x)))))


class Joined(nn.Module):
    """Three layers read the input; a fourth reads all that they give."""

    def __init__(self, one: int, two: int, three: int, reader: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Linear(3, width) for width in (one, two, three))
        self.reader, self.head = nn.Linear(one + two + three, reader), nn.Linear(reader, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.reader(torch.cat([F.relu(part(x)) for part in self.parts], 1))))


class Grouped(nn.Module):
    """A grouped convolution of two groups between two plain ones."""

    def __init__(self, before: int, grouped: int, after: int) -> None:
        super().__init__()
        self.before, self.grouped = nn.Conv2d(3, 2 * before, 1), nn.Conv2d(2 * before, 2 * grouped, 3, 1, 1, groups=2)
        self.after, self.head = nn.Conv2d(2 * grouped, after, 1, bias=False), nn.Linear(after, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.after(F.relu(self.grouped(F.relu(self.before(x)))))).mean((2, 3)))


class Flattened(nn.Module):
    """Convolutions before a flattening."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, one, 3, padding=1), nn.Conv2d(one, two, 3, padding=1)
        self.head = nn.Linear(two * 16, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.two(F.relu(self.one(x)))).flatten(1))


class Tied(nn.Module):
    """An embedding whose weight the head shares, around a layer."""

    def __init__(self, stream: int, inner: int) -> None:
        super().__init__()
        self.embed, self.up, self.down = nn.Embedding(7, stream), nn.Linear(stream, inner), nn.Linear(inner, stream)
        self.head = nn.Linear(stream, 7, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        return self.head(x + self.down(F.relu(self.up(x))))


class Queries(nn.Module):
    """Two attentions with two query heads for each key/value head; widths count key/value heads."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__()
        self.attn = nn.ModuleList(Attention(groups) for groups in (one, two))
        self.head = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        for attn in self.attn:
            x = x + attn(x)
        return self.head(x)


class Attention(nn.Module):
    """Attention with heads of three."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.q, self.o = nn.Linear(5, 6 * groups), nn.Linear(6 * groups, 5)
        self.k, self.v = nn.Linear(5, 3 * groups), nn.Linear(5, 3 * groups)

    def forward(self, x: Tensor) -> Tensor:
        batch, time, _ = x.shape
        q, k, v = (part(x).view(batch, time, -1, 3).transpose(1, 2) for part in (self.q, self.k, self.v))
        k, v = k.repeat_interleave(2, 1), v.repeat_interleave(2, 1)
        mixed = F.softmax(q @ k.transpose(-1, -2) / 2.0, -1) @ v
        return self.o(mixed.transpose(1, 2).reshape(batch, time, -1))


@dataclass(frozen=True)
class Family:
    """Networks of one shape.

    Attributes:
        build: Makes one from its widths.
        sites: What a plan names, one site word a width, in the order of the widths.
        given: The input as a plan says it.
        unit: What a plan picks.
        widths: How many widths there are.
    """

    build: Callable[..., nn.Module]
    sites: tuple[str, ...]
    given: str = 'x("f32", [N, 3])'
    unit: str = "channels"

    def given_sizes(self) -> list[str]:
        """Return the sizes of an input of one."""
        return self.given.partition("[")[2].partition("]")[0].replace("N", "1").split(", ")


IMAGE = 'x("f32", [N, 3, 4, 4])'
FAMILIES: dict[str, Family] = {
    "chain": Family(Chain, tuple(f'linear("layers.{i}")' for i in range(3))),
    "stream": Family(Stream, ('linear("stem")', 'linear("up.0")', 'linear("up.1")')),
    "square": Family(Square, ('linear("same")', 'linear("inner")')),
    "joined": Family(Joined, (*(f'linear("parts.{i}")' for i in range(3)), 'linear("reader")')),
    "grouped": Family(Grouped, ('conv2d("before")', 'conv2d("grouped")', 'conv2d("after")'), IMAGE),
    "flattened": Family(Flattened, ('conv2d("one")', 'conv2d("two")'), IMAGE),
    "tied": Family(Tied, ('linear("down")', 'linear("up")'), 'x("i64", [N], below = 7)'),
    "queries": Family(Queries, ('attention("attn.0")', 'attention("attn.1")'), 'x("f32", [N, 4, 5])', "kv_groups"),
}


@cache
def cost(family: str, widths: Widths, quantity: str = "params") -> int:
    """Count the parameters of a network of these widths, shared ones once; or its products, by torch itself."""
    with torch.device("meta"):
        network = FAMILIES[family].build(*widths).eval()
        if quantity == "params":
            return sum(parameter.numel() for parameter in network.parameters())
        dtype = torch.long if "i64" in FAMILIES[family].given else torch.float
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(torch.zeros([int(size) for size in FAMILIES[family].given_sizes()], dtype=dtype))
    return int(counter.get_total_flops()) // 2


# ---- plans and what they could do --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """An ``identify`` over some of a network's widths, with its ``excise``."""

    members: tuple[int, ...]
    take: str
    share: int
    ranked: bool
    multiple: int
    least: int
    cap: int | None

    def text(self, name: str, family: Family, scale: int) -> str:
        """Return the two blocks; ``scale`` is how many units of the plan one unit of a width is."""
        amount = f"lowest({self.share}%)" if self.take == "lowest" else "below(0.5)"
        lines = [
            f"in = [{', '.join(family.sites[at] for at in self.members)}]",
            f"unit = {family.unit}",
            "by = magnitude()",
            f"take = {amount}",
            f"per = {'global' if self.ranked else 'site'}",
        ]
        lines += [f"round = {self.multiple * scale}"] * (self.multiple > 1)
        lines += [f"floor = {self.least * scale}"] * (self.least > 1)
        if self.cap is not None:
            lines.append(f"cap = {self.cap * scale}")
        body = "".join(f"  {line}\n" for line in lines)
        return f"identify {name} {{\n{body}}}\nexcise {name}\n"

    def legal(self, size: int) -> list[int]:
        """Return every count that may stay where something goes."""
        return [
            kept
            for kept in range(max(self.least, 1), size + 1)
            if kept % self.multiple == 0 and (self.cap is None or size - kept <= self.cap)
        ]

    def brought(self, size: int, asked: int) -> int:
        """Return what stays of ``size`` where ``asked`` are asked for: the nearest multiple, then floor and cap."""
        legal = self.legal(size)
        if not asked or not legal:
            return size
        multiples = range(0, size + self.multiple, self.multiple)
        nearest = min(multiples, key=lambda kept: (abs(kept - (size - asked)), -kept))
        return min(legal, key=lambda kept: abs(kept - nearest))

    def within(self, size: int, found: int) -> int:
        """Return what stays where only what was found may go."""
        legal = [kept for kept in self.legal(size) if size - kept <= found]
        return min(legal) if legal and found else size

    def results(self, sizes: Widths) -> Iterator[Widths]:
        """Yield what can stay of each member, whatever the scores are."""
        room = [size - min(self.legal(size), default=size) for size in sizes]
        if self.take != "lowest":
            yield from product(*({self.within(size, found) for found in range(size + 1)} for size in sizes))
        elif not self.ranked:
            yield tuple(self.brought(size, half_up(self.share, size)) for size in sizes)
        else:
            total = min(half_up(self.share, sum(sizes)), sum(room))
            for split in product(*(range(most + 1) for most in room)):
                if sum(split) == total:
                    yield tuple(self.brought(size, gone) for size, gone in zip(sizes, split, strict=True))


def half_up(share: int, size: int) -> int:
    """Return a percentage of a size, rounded half up."""
    return floor(Fraction(share * size, 100) + Fraction(1, 2))


@dataclass(frozen=True)
class Case:
    """A network, steps over it, and what they could leave."""

    family: str
    widths: Widths
    steps: tuple[Step, ...]

    @property
    def network(self) -> Family:
        return FAMILIES[self.family]

    def outcomes(self) -> set[Widths]:
        """Return the widths of every outcome."""
        found = {self.widths}
        for step in self.steps:
            grown = set()
            for widths in found:
                for kept in set(step.results(tuple(widths[at] for at in step.members))):
                    left = list(widths)
                    for at, size in zip(step.members, kept, strict=True):
                        left[at] = size
                    grown.add(tuple(left))
            found = grown
        return found

    def text(self) -> str:
        """Return the plan without its last block."""
        scales = [2 if self.family == "grouped" and 2 not in step.members else 1 for step in self.steps]
        steps = "".join(
            step.text(f"s{at}", self.network, scale)
            for at, (step, scale) in enumerate(zip(self.steps, scales, strict=True))
        )
        return (
            f'surg 1\nmodel net {{\n  load = python("none:{self.family}")\n  input = {self.network.given}\n}}\n{steps}'
        )


def drawn(seed: int) -> Case:
    """Return one case: a family, widths of at most six, one or two steps."""
    rng = random.Random(seed)
    family = rng.choice(sorted(FAMILIES))
    several = len(FAMILIES[family].sites)
    widths = tuple(rng.randint(3, 6) for _ in range(several))
    members = list(range(several))
    if family == "grouped":  # one unit is one channel of each group in some sites, and one channel in others
        members = rng.choice([[0, 1], [2]])
    apart = len(members) > 1 and rng.random() < 0.3
    at = rng.randint(1, len(members) - 1) if apart else len(members)
    return Case(family, widths, tuple(_step(rng, tuple(part)) for part in (members[:at], members[at:]) if part))


def _step(rng: random.Random, members: tuple[int, ...]) -> Step:
    take = rng.choice(["lowest", "lowest", "below"])
    return Step(
        members,
        take,
        rng.choice([20, 25, 34, 40, 50, 60]),
        take == "lowest" and len(members) > 1 and rng.random() < 0.7,
        rng.choice([1, 1, 1, 2, 3]),
        rng.choice([1, 1, 2, 3]),
        rng.choice([None, None, None, 1, 2, 3]),
    )
