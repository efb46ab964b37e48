"""Linear forms on values of two networks, carried back to the inputs.

A *form* is Σ rows · values over values of the networks of a pair, or of one network alone. Going backward through the
graphs, an affine operator is put in exactly; a function that bends, and the change of one between the networks, is
replaced by the line or plane above it where its coefficient is positive and by the one below where it is negative
(:class:`Sided`). What comes out at the inputs bounds the form from above for every input of the region (CROWN; Zhang et
al. 2018, theorem 3.2), and its greatest value there is a sum over the inputs.

What rounding may add to a value, in the networks or in this computation, is a *weight* of the value: |row| · weight
goes to the bound.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from surgery_dsl.evidence.bounds.graph import Affine, Graph, Input, Lookup, Node
from surgery_dsl.evidence.bounds.known import Change, Key, Known
from surgery_dsl.evidence.bounds.region import Region
from surgery_dsl.evidence.bounds.rounding import U64, gamma

MOST_SCORES = 1 << 24
"""Scores of tokens, over all places and forms, that are held at once."""
Step = tuple[Key, ...]
"""A value to go through; two where a function and its change are gone through together."""


@dataclass
class Form:
    """Forms on their way back: B regions, K forms in each.

    Attributes:
        rows: For each value that they still read, [B, K, *shape].
        constant: [B, K].
        error: [B, K], not negative: what rounding may add.
    """

    rows: dict[Key, Tensor]
    constant: Tensor
    error: Tensor

    @classmethod
    def of(cls, rows: Mapping[Key, Tensor]) -> "Form":
        """Return forms that begin with rows, [B, K, *shape]."""
        first = next(iter(rows.values()))
        return cls(dict(rows), first.new_zeros(first.shape[:2]), first.new_zeros(first.shape[:2]))

    def add(self, key: Key, rows: Tensor) -> None:
        """Add rows to those on a value."""
        self.rows[key] = self.rows[key] + rows if key in self.rows else rows

    def both(self) -> "Form":
        """Return these forms, and behind them their negatives."""
        rows = {key: torch.cat([one, -one], 1) for key, one in self.rows.items()}
        return Form(rows, torch.cat([self.constant, -self.constant], 1), torch.cat([self.error, self.error], 1))


@dataclass(frozen=True)
class Upper:
    """Upper bounds of forms over a region.

    Attributes:
        bound: [B, K].
        slopes: By the number of the input, for inputs that are boxes: the coefficients on it, [B, K, *shape].
    """

    bound: Tensor
    slopes: Mapping[int, Tensor]


class Relaxation(ABC):
    """What stands in for a function that bends, and for the change of one. Abstract."""

    @abstractmethod
    def on_lines(self, form: Form, rows: Tensor, known: Known, key: Key) -> Tensor:
        """Return rows on what a function reads, [B, K, n], for rows on its values; add what is left to the form.

        What is returned is the caller's to write to.
        """

    @abstractmethod
    def on_planes(self, form: Form, rows: Tensor, change: Change, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return rows on z and on δ, [B, K, n] each, for rows on the changes; add what is left to the form.

        What rounding adds to each change is its own weight and the one that is given, [B, n].
        """


@final
class Sided(Relaxation):
    """The line or plane above where a coefficient is positive, the one below where it is negative.

    For the changes of a layer a form may take one plane for both sides instead. How far all of them are from it is at
    most the sum over the units of |row| · reach · |δ| / far, and with a bound of the length of the vector of all
    |δ| / far at most that times the length of the vector of all |row| · reach (Cauchy and Schwarz). Where many units
    cannot change most all at once, that is less. Each form takes what is less in the middle of z and δ.
    """

    def on_lines(self, form: Form, rows: Tensor, known: Known, key: Key) -> Tensor:
        """Take lines by the sign of each row."""
        lines = known.lines[key]
        above, below = rows.clamp(min=0), rows.clamp(max=0)
        form.constant += total(above, lines.high) + total(below, lines.low)
        return _mixed(above, below, lines.high_slope, lines.low_slope)

    def on_planes(self, form: Form, rows: Tensor, change: Change, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Take planes by the sign of each row, or their middle where the length of the change makes that less."""
        high, low = change.planes.high, change.planes.low
        above, below = rows.clamp(min=0), rows.clamp(max=0)
        weight = weight + change.weight
        form.error += total(above, weight) - total(below, weight)
        offset = total(above, high.offset) + total(below, low.offset)
        take = None
        if change.length is not None:
            middle = change.centre.plane
            away = _away(rows, change, change.length)
            height = total(above, high.at(*change.middle)) + total(below, low.at(*change.middle))
            take = away + total(rows, middle.at(*change.middle)) < height
            offset = torch.where(take, away + total(rows, middle.offset), offset)
        of_z = _mixed(above.clone(), below, high.of_z, low.of_z)
        of_delta = _mixed(above, below, high.of_delta, low.of_delta)
        if take is not None and bool(take.any()):
            take = take.unsqueeze(2)
            of_z = torch.where(take, rows * middle.of_z.unsqueeze(1), of_z)
            of_delta = torch.where(take, rows * middle.of_delta.unsqueeze(1), of_delta)
        form.constant += offset
        return of_z, of_delta


def _away(rows: Tensor, change: Change, length: Tensor) -> Tensor:
    """Return how far Σ row · change is from the middle, at most: [B, K]."""
    reach: Tensor = torch.linalg.vector_norm(rows * change.centre.reach.unsqueeze(1), dim=2)
    return reach * length.unsqueeze(1) * (1 + gamma(rows.shape[2] + 16)) + total(rows.abs(), change.centre.rest)


def _mixed(above: Tensor, below: Tensor, high: Tensor, low: Tensor) -> Tensor:
    """Return above · high + below · low, in the memory of ``above``: fresh memory costs more than the sum."""
    return above.mul_(high.flatten(1).unsqueeze(1)).addcmul_(below, low.flatten(1).unsqueeze(1))


def upper(graphs: Sequence[Graph], known: Known, order: Sequence[Step], form: Form, region: Region) -> Upper:
    """Return upper bounds of forms over a region.

    Args:
        graphs: One network or two.
        known: What is known of their values so far: of all values that the form's own depend on.
        order: The values of the networks, each after those that it is computed from.
        form: The forms; used up.
        region: The inputs.
    """
    return _over(carried(graphs, known, order, form, Sided()), region, graphs)


def carried(graphs: Sequence[Graph], known: Known, order: Sequence[Step], form: Form, relaxation: Relaxation) -> Form:
    """Carry forms back to the inputs; arguments as of :func:`upper`."""
    for step in reversed(order):
        if not any(key in form.rows for key in step):
            continue
        if len(step) == 2:
            _through_change(form, step[0], step[1], known, graphs, relaxation)
        else:
            _through(form, step[0], known, graphs[step[0][0]], relaxation)
    return form


def total(rows: Tensor, weights: Tensor) -> Tensor:
    """Return Σ rows · weights over the elements: [B, K] from [B, K, …] and [B, …] or […]."""
    return (rows.flatten(2) @ weights.reshape(-1, rows.flatten(2).shape[2], 1)).squeeze(2)


def _through(form: Form, key: Key, known: Known, graph: Graph, relaxation: Relaxation) -> None:
    node = graph.nodes[key[1]]
    if isinstance(node, Input | Lookup):
        return  # what is left on these the region puts in
    rows = form.rows.pop(key)
    form.error += total(rows.abs(), known.weight[key])
    if not isinstance(node, Affine):
        back = relaxation.on_lines(form, rows.flatten(2), known, key)
        form.add((key[0], node.sources[0]), known.to_source(key, back, graph))
        return
    if node.offset is not None:
        form.constant += total(rows, node.offset)
    for source, back in zip(node.sources, transposed(node, rows.flatten(0, 1), graph), strict=True):
        form.add((key[0], source), back.reshape(*rows.shape[:2], *graph.nodes[source].shape))


def transposed(node: Affine, rows: Tensor, graph: Graph) -> tuple[Tensor, ...]:
    """Return rows on each source, [K, *shape], for rows on an affine value."""
    if node.transposed is not None:
        return node.transposed(rows)
    zeros = [rows.new_zeros(rows.shape[0], *graph.nodes[source].shape) for source in node.sources]
    pull = torch.func.vjp(torch.vmap(node.linear), *zeros)[1]
    found: tuple[Tensor, ...] = pull(rows)
    return found


def _through_change(
    form: Form, old: Key, new: Key, known: Known, graphs: Sequence[Graph], relaxation: Relaxation
) -> None:
    """Go through a function that both networks have: its change where units are matched, lines elsewhere.

    With a′ = a + D the form r·a + r′·a′ is (r + r′)·a + r′·D; the planes of D speak of z and δ = z′ − z, so that their
    coefficients are those of z′ (of δ) and of z (of z less of δ).
    """
    change = known.changes[old, new]
    nodes = graphs[0].nodes[old[1]], graphs[1].nodes[new[1]]
    rows = _popped(form, old, nodes[0])
    more = _popped(form, new, nodes[1])
    form.error += total(rows.abs(), known.weight[old])
    # what is matched goes through the lines of the first network too
    weight, of_new = known.weight[old].flatten(1), known.weight[new].flatten(1)
    if change.whole:
        on_old = relaxation.on_lines(form, rows + more, known, old)
        of_z, on_new = relaxation.on_planes(form, more, change, weight + of_new)
        on_old.add_(of_z.sub_(on_new))
    else:
        matched = more[:, :, change.new]
        form.error += total(more.abs(), of_new)
        on_old = relaxation.on_lines(form, rows.index_add(2, change.old, matched), known, old)
        of_z, of_delta = relaxation.on_planes(form, matched, change, weight[:, change.old])
        on_new = relaxation.on_lines(form, more.index_fill(2, change.new, 0), known, new)
        on_old = on_old.index_add(2, change.old, of_z - of_delta)
        on_new = on_new.index_add(2, change.new, of_delta)
    form.add((0, nodes[0].sources[0]), known.to_source(old, on_old, graphs[0]))
    form.add((1, nodes[1].sources[0]), known.to_source(new, on_new, graphs[1]))


def _popped(form: Form, key: Key, node: Node) -> Tensor:
    rows = form.rows.pop(key, None)
    return form.constant.new_zeros(*form.constant.shape, node.size) if rows is None else rows.flatten(2)


# ---- at the inputs -----------------------------------------------------------------------------------------------


def _over(form: Form, region: Region, graphs: Sequence[Graph]) -> Upper:
    """Put in the region: the greatest value of what is left of the forms."""
    bound, slopes = form.constant, {}
    for number, box in region.boxes.items():
        here = left_on(form, graphs, number)
        if not here:
            continue
        rows = here[0] if len(here) == 1 else here[0] + here[1]
        slopes[number] = rows
        bound = bound + total(rows.clamp(min=0), box.high) + total(rows.clamp(max=0), box.low)
        far = torch.maximum(box.low.abs(), box.high.abs())
        sizes = here[0].abs() if len(here) == 1 else here[0].abs() + here[1].abs()
        form.error += gamma(far[0].numel() + 16) * total(sizes, far)
    for number, allowed in region.tokens.items():
        bound = bound + _best_tokens(form, graphs, number, allowed)
    return Upper(bound + form.error * (1 + 1e-6) + 64 * U64 * bound.abs(), slopes)


def left_on(form: Form, graphs: Sequence[Graph], number: int) -> list[Tensor]:
    """Return the rows that forms have left on an input of real numbers, those of each network that reads it."""
    keys = [key for key in form.rows if key[1] == number and isinstance(graphs[key[0]].nodes[number], Input)]
    return [form.rows[key] for key in keys]


def _best_tokens(form: Form, graphs: Sequence[Graph], number: int, allowed: Tensor) -> Tensor:
    """Try every token at every place: what forms on looked-up rows are at most, [B, K].

    Exact, since places are independent; what several lookups make of one token is added before the best is taken.
    """
    looked = [(graphs[side].nodes[at], rows) for (side, at), rows in form.rows.items()]
    read = [(node, rows) for node, rows in looked if isinstance(node, Lookup) and node.sources == (number,)]
    turn = max(1, MOST_SCORES // allowed.numel())
    parts = range(0, form.constant.shape[1] if read else 0, turn)
    found = [_best_of([(node, rows[:, at : at + turn]) for node, rows in read], allowed) for at in parts]
    return torch.cat(found, 1) if found else torch.zeros_like(form.constant)


def _best_of(read: Sequence[tuple[Lookup, Tensor]], allowed: Tensor) -> Tensor:
    count, shape = allowed.shape[0], tuple(allowed.shape[1:-1])
    tokens = allowed[0, ..., 0].numel()
    scores = allowed.new_zeros(count * read[0][1].shape[1], tokens, allowed.shape[-1], dtype=torch.float64)
    sizes = torch.zeros_like(scores)
    terms = 16 + tokens
    for node, rows in read:
        _, table = node.choices(allowed)
        scores[..., : len(table)] += node.to_places((rows @ table.T).flatten(0, 1), shape)
        sizes[..., : len(table)] += node.to_places((rows.abs() @ table.abs().T).flatten(0, 1), shape)
        terms += table.shape[1] + rows[0, 0, ..., 0].numel()
    scores = (scores + gamma(terms) * sizes).reshape(count, -1, tokens, allowed.shape[-1])
    hidden = ~allowed.reshape(count, 1, tokens, -1)
    return scores.masked_fill(hidden, -torch.inf).amax(-1).sum(2)
