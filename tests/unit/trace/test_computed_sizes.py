"""Sizes that code computes: every operator is exact at every size, or refused; never what it was at one size."""

import math
from collections.abc import Callable
from math import isqrt

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.interface.expression import evaluate
from surgery_dsl.interface.model import Interface
from surgery_dsl.proof.questions import SizeQuestion
from surgery_dsl.trace.capture import trace
from tests.unit.trace.oracle import spec
from tests.unit.trace.test_free_sizes import output_sizes


class Padded(nn.Module):
    """Appends as many columns as a function says of the width."""

    def __init__(self, amount: Callable[[int], int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 1)
        self.amount = amount

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, self.amount(x.shape[-1]))))


def holds(interface: Interface, sizes: dict[str, int]) -> bool:
    """Whether everything that was found to be needed of the sizes is so at some."""
    ranges = tuple((free.name, free.least, free.most) for free in interface.free)
    return all(SizeQuestion(r.relation, r.left, r.right, ranges).holds(sizes) for r in interface.requirements)


def followed(module: nn.Module) -> Interface | str:
    """Return the interface of images of any size, or the code with which they were refused."""
    try:
        return trace(module, spec("N", 2, "H", "W"))
    except Refused as refused:
        return refused.diagnostics[0].code.id


EXACT: dict[str, Callable[[int], int]] = {
    "+": lambda w: w + 3,
    "-": lambda w: w - 1,
    "reversed -": lambda w: 200 - w,
    "*": lambda w: 2 * w,
    "//": lambda w: w // 3,
    "%": lambda w: w % 7,
    "% 2": lambda w: w % 2,
    "unary -": lambda w: -w % 7,
    "pad of windows": lambda w: (7 - w % 7) % 7,
    "divmod": lambda w: divmod(w, 5)[0] + divmod(w, 5)[1],
    "reversed divmod": lambda w: divmod(300, 3)[0] - w,
    "// of a negative": lambda w: -(-w // 4),
    "% of a negative": lambda w: 5 + w % -5,
    "**": lambda w: w**2 - w,
    ">>": lambda w: w >> 2,
    "<<": lambda w: w << 1,
    "&": lambda w: w & 3,
    "abs": lambda w: abs(w),
    "max": lambda w: max(w, 1),
    "min": lambda w: min(w, 10**6),
    "ceil": lambda w: math.ceil(w / 3),
    "floor": lambda w: math.floor(w / 6),
    "int of a quotient": lambda w: int(w / 2),
    "int": lambda w: int(w % 2),
    "0.5 *": lambda w: math.ceil(w * 0.5),
    "round": lambda w: round(w),
}


@pytest.mark.parametrize("name", EXACT)
def test_what_code_computes_of_a_size_is_right_at_every_size(name: str) -> None:
    module = Padded(EXACT[name])
    interface = trace(module, spec("N", 2, "H", "W"))
    compared = 0
    for width in range(1, 80):
        sizes = {"N": 2, "H": 3, "W": width}
        if holds(interface, sizes):
            compared += 1
            assert output_sizes(interface, sizes) == list(module(torch.zeros(2, 2, 3, width)).shape), width
    assert compared >= 10


LOST: dict[str, Callable[[int], int]] = {
    "int": lambda w: int(w) % 4 + int(w % 2),
    "int of an int": lambda w: int(int(w) / 8),
    "root": lambda w: int(math.sqrt(w)),
    "whole root": lambda w: math.isqrt(w),
    "whole root by name": lambda w: isqrt(w),
    "power": lambda w: int(w**0.5),
    "power of a quotient": lambda w: int((w / 2) ** 0.5),
    "minus a quotient": lambda w: 50 + int(-(w / 16)),
    "size of a quotient": lambda w: int(abs(w / 16)),
    "parts of a quotient": lambda w: int(divmod(w / 2, 8)[0]),
    "a plain number times": lambda w: int(0.05 * w),
    "round": lambda w: round(w * 0.3),
    "round half to even": lambda w: round(w / 2),
    "round to digits": lambda w: int(round(w / 16, 1)),
    "common divisor": lambda w: math.gcd(w, 12),
    "logarithm": lambda w: int(math.log2(w)),
    "logarithm of a float": lambda w: int(math.log2(float(w))),
    "bits": lambda w: w.bit_length(),
    "set bits": lambda w: w.bit_count(),
    "turns": lambda w: len(range(0, w, 16)),
    "length": lambda w: len(torch.zeros(w)) // 16,
    "a table": lambda w: (0, 1, 2)[w % 3] + 1,
    "an index": lambda w: list(range(2000))[w] // 16,
    "a list's length": lambda w: len([0] * w) // 16,
    "text": lambda w: len(str(w)),
    "a tensor": lambda w: int(torch.tensor(w) // 16),
    "a power of two": lambda w: 1 << int(math.log2(float(w))),
    "up to a power of two": lambda w: 2 ** math.ceil(math.log2(w)) - w,
}


@pytest.mark.parametrize("name", LOST)
def test_what_is_not_followed_is_never_a_constant(name: str) -> None:
    """Either refused, or right wherever its relations hold."""
    module = Padded(LOST[name])
    interface = followed(module)
    if isinstance(interface, str):
        assert interface in ("SD201", "SD202")
        return
    for width in (*range(1, 80), 150, 224, 400):
        sizes = {"N": 2, "H": 3, "W": width}
        if holds(interface, sizes):
            assert output_sizes(interface, sizes) == list(module(torch.zeros(2, 2, 3, width)).shape), width


class Asking(nn.Module):
    """Doubles its channels where a function of the height says so."""

    def __init__(self, ask: Callable[[int], bool]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 1)
        self.ask = ask

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return torch.cat([y, y], 1) if self.ask(x.shape[-2]) else y


ASKED: dict[str, Callable[[int], bool]] = {
    "a remainder": lambda h: bool(h % 7),
    "a remainder, not": lambda h: not h % 7,
    "==": lambda h: h == 24,
    "!=": lambda h: h != 24,
    "<": lambda h: h < 40,
    "<=": lambda h: h <= 40,
    ">": lambda h: h > 40,
    ">=": lambda h: h >= 40,
    "two remainders": lambda h: h % 4 == h % 6,
    "of a quotient": lambda h: h / 8 > 3,
    "max": lambda h: max(h, 50) == 50,
    "whole": lambda h: (h / 4).is_integer(),
    "the first alone": lambda h: h > 1,
    "even": lambda h: h % 2 == 0,
    "a root": lambda h: math.sqrt(h) > 20,
    "a power": lambda h: h**0.5 > 20,
    "a square": lambda h: math.isqrt(h) ** 2 == h,
    "int": lambda h: int(h) > 300,
    "float": lambda h: float(h) > 300,
    "a plain remainder": lambda h: int(h) % 7 == 0,
    "a remainder of floats": lambda h: float(h) % 7 == 0,
    "a part of a quotient": lambda h: bool((h / 2) % 1),
    "a quotient of a remainder": lambda h: bool((h % 2) / 2),
    "minus a quotient": lambda h: -(h / 2) < -150,
    "a whole logarithm": lambda h: math.log2(h) == int(math.log2(h)),
    "bits": lambda h: h & (h - 1) == 0,
    "a common divisor": lambda h: math.gcd(h, 12) == 6,
    "near": lambda h: math.isclose(h % 7, 0),
    "a length": lambda h: len(torch.zeros(h)) > 300,
    "turns": lambda h: len(range(h)) > 300,
    "a tensor": lambda h: bool(torch.tensor(h) > 300),
    "a tensor's entry": lambda h: int(torch.arange(h)[-1]) > 300,
}


@pytest.mark.parametrize("name", ASKED)
def test_a_question_that_is_answered_in_two_ways_is_never_silent(name: str) -> None:
    module = Asking(ASKED[name])
    interface = followed(module)
    if isinstance(interface, str):
        assert interface in ("SD201", "SD202")
        return
    fits = set()
    for height in (*range(1, 90), 224, 301, 384, 401):
        sizes = {"N": 2, "H": height, "W": 3}
        right = output_sizes(interface, sizes) == list(module(torch.zeros(2, 2, height, 3)).shape)
        assert right or not holds(interface, sizes), height
        fits |= {height} if right and holds(interface, sizes) else set()
    assert fits
    questions = [r.reason for r in interface.requirements if "the forward asks" in r.reason]
    assert questions
    assert all("test_computed_sizes.py" in question for question in questions)


def test_a_question_that_makes_no_difference_is_no_relation() -> None:
    class Causal(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            y = self.linear(x)
            return F.scaled_dot_product_attention(y, y, y, is_causal=x.shape[1] > 1)

    interface = trace(Causal(), spec("N", "T", 4))
    assert not [r for r in interface.requirements if "asks" in r.reason]
    assert evaluate(interface.axes[interface.values[0].dims[1][0]].size, {"T": 5}) == 5  # type: ignore[arg-type]


def test_a_real_swin_is_followed_through_its_padding_and_its_smallest_side() -> None:
    """transformers' Swin pads to windows, and asks for the smaller side of the image: on squares all is proved."""
    from transformers import SwinConfig, SwinModel

    from surgery_dsl.interface.inputs import InputSpec

    config = SwinConfig(image_size=56, patch_size=4, embed_dim=8, depths=[2, 1], num_heads=[1, 2], window_size=7)
    model = SwinModel(config).eval()
    square = ("*", 56, "H")
    interface = trace(model, (InputSpec(name="pixel_values", dtype="f32", dims=("N", 3, square, square)),))
    assert not [r for r in interface.requirements if "the forward asks" in r.reason]
    for height in (1, 2, 3):
        given = torch.zeros(2, 3, 56 * height, 56 * height)
        assert output_sizes(interface.replaced(outputs=interface.outputs[:1]), {"N": 2, "H": height}) == list(
            model(given).last_hidden_state.shape
        )
    wide = trace(model, (InputSpec(name="pixel_values", dtype="f32", dims=("N", 3, square, ("*", 56, "W"))),))
    asked = [r.reason for r in wide.requirements if "the forward asks" in r.reason]
    assert asked
    assert all("modeling_swin.py" in reason for reason in asked)


class PaddedBoth(nn.Module):
    """Appends columns and rows, as many as one function says of each side."""

    def __init__(self, amount: Callable[[int], int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3, stride=2)
        self.amount = amount

    def forward(self, x: Tensor) -> Tensor:
        below, right = self.amount(x.shape[-2]), self.amount(x.shape[-1])
        return self.conv(F.pad(x, (0, right, 0, below)))


@pytest.mark.parametrize("name", ["% 2", "%", "pad of windows", "&", "divmod", "0.5 *"])
def test_numbers_that_are_alike_at_the_samples_are_told_apart(name: str) -> None:
    """The remainders by 2 of both sides were the same at every sample: one was taken for the other."""
    module = PaddedBoth(EXACT[name])
    interface = trace(module, spec("N", 2, "H", "W"))
    compared = 0
    for height in range(3, 12):
        for width in range(3, 12):
            sizes = {"N": 2, "H": height, "W": width}
            if holds(interface, sizes):
                compared += 1
                assert output_sizes(interface, sizes) == list(module(torch.zeros(2, 2, height, width)).shape), sizes
    assert compared >= 10


def test_a_far_size_counts_the_multiple() -> None:
    """Attention over all of 64 · 1,233 by 64 · 1,265 points is no size that a tensor can have."""

    class NonLocal(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 8, 1)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x).flatten(2).transpose(1, 2)
            return F.scaled_dot_product_attention(y, y, y)

    inputs = spec("N", 2, ("*", 64, "H"), ("*", 64, "W"))
    assert output_sizes(trace(NonLocal(), inputs), {"N": 2, "H": 2, "W": 3}) == [2, 6 * 64 * 64, 8]
