"""Tables of positions must hold every position, however the forward counts them."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.interface.expression import Expression, evaluate
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.trace.capture import trace

Positions = Callable[[Tensor], Tensor]

ROWS = 90


def _opt(tokens: Tensor) -> Tensor:
    mask = torch.ones(tokens.shape[0], tokens.shape[1])
    return (torch.cumsum(mask, dim=1) * mask - 1).long() + 2


def _roberta(tokens: Tensor) -> Tensor:
    mask = tokens.ne(1).int()
    return (torch.cumsum(mask, dim=1).type_as(mask) * mask).long() + 1


def _masked(tokens: Tensor) -> Tensor:
    mask = torch.ones_like(tokens)
    return (mask.cumsum(-1) - 1).masked_fill_(mask == 0, 1)


COUNTED: dict[str, tuple[Positions, int]] = {
    "a range": (lambda tokens: torch.arange(tokens.shape[1]), 0),
    "a range with an end of its own": (lambda tokens: torch.arange(0, tokens.shape[1]).unsqueeze(0), 0),
    "a range and what came before": (lambda tokens: (torch.arange(tokens.shape[1]) + 0).unsqueeze(0), 0),
    "a range that begins later": (lambda tokens: torch.arange(3, tokens.shape[1] + 3).expand(2, -1), 3),
    "an offset": (lambda tokens: torch.arange(tokens.shape[1])[None] + 2, 2),
    "a tensor of one offset": (lambda tokens: torch.arange(tokens.shape[1]) + torch.full((1,), 4), 4),
    "less": (lambda tokens: torch.arange(1, tokens.shape[1] + 1) - 1, 0),
    "sums of a mask": (_opt, 2),
    "sums over what is no padding": (_roberta, 2),
    "sums, masked": (_masked, 0),
}


class Table(nn.Module):
    """A table called as no rule could guess, read by an embedding or by indices."""

    def __init__(self, count: Positions, raw: bool) -> None:
        super().__init__()
        self.count = count
        self.words, self.kinds = nn.Embedding(9, 4), nn.Embedding(2, 4)
        self.where = nn.Parameter(torch.zeros(ROWS, 4)) if raw else nn.Embedding(ROWS, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        at = self.count(tokens)
        rows = self.where[at] if isinstance(self.where, nn.Parameter) else self.where(at)
        found: Tensor = self.words(tokens) + self.kinds(torch.zeros_like(tokens)) + rows
        return found


def needs(model: nn.Module, *dims: str | int) -> set[tuple[str, Expression, Expression]]:
    found = trace(model, (InputSpec(name="tokens", dtype="i64", dims=dims or ("N", "T"), below=9),)).requirements
    return {(one.relation, one.left, one.right) for one in found}


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("name", COUNTED)
def test_a_table_must_hold_every_position(name: str, raw: bool) -> None:
    count, offset = COUNTED[name]
    (found,) = needs(Table(count, raw), 2, "T")
    relation, left, right = found
    assert (relation, left) == ("at_least", ROWS)
    for length in (1, 5, 60):  # what the forward itself reads
        greatest = int(count(torch.full((2, length), 3)).max())
        assert greatest == length - 1 + offset
        assert evaluate(right, {"T": length}) == greatest + 1


def _less_than_nothing(tokens: Tensor) -> Tensor:
    return 3 - torch.arange(tokens.shape[1]).clamp(max=3)


UNCOUNTED: dict[str, Positions] = {
    "kinds": lambda tokens: torch.zeros_like(tokens),
    "tokens": lambda tokens: tokens,
    "clamped": lambda tokens: torch.arange(tokens.shape[1]).clamp(max=8),
    "taken off": _less_than_nothing,
    "modulo": lambda tokens: torch.arange(tokens.shape[1]) % 7,
    "masked": lambda tokens: torch.zeros(2, tokens.shape[1]).masked_fill(tokens > 3, float("-inf")).long().clamp(0, 3),
}
LATE: dict[str, Positions] = {
    "by halves": lambda tokens: torch.arange(tokens.shape[1]) // 2,
    "chosen": lambda tokens: torch.where(tokens < 9, torch.arange(tokens.shape[1]), 0),
}


@pytest.mark.parametrize("name", UNCOUNTED)
def test_nothing_is_asked_of_a_table_where_the_greatest_entry_is_not_known(name: str) -> None:
    assert needs(Table(UNCOUNTED[name], raw=False), 2, "T") == set()


@pytest.mark.parametrize("name", LATE)
def test_a_table_that_ends_far_away_is_found_there(name: str) -> None:
    for rows in (2, "N"):
        with pytest.raises(Refused, match="index out of range"):
            needs(Table(LATE[name], raw=False), rows, "T")
