"""Minimising a polynomial of degree two over the vertices of the unit cube by a minimum cut, in exact integers.

With 2·u·v = u + v - [u ≠ v] a polynomial becomes Σ t_i·u_i - Σ q_ij·[u_i ≠ u_j]. Where every q is negative this is a
cut, and its minimum a maximum flow (Picard & Ratliff 1975; for the closure of a project Rhys 1970). Where some are
positive, as for limits from below, u is turned to 1 - u on one side of each, if that can be done for all at once (the
graph of signs is balanced: chains, trees, all bipartite graphs of positive pairs). Else the roof dual is taken: the cut
of a graph with both u_i and its opposite as vertices, which equals the linear relaxation (Hammer, Hansen & Simeone,
Roof duality, complementation and persistency, 1984).

Before the flow, every variable that its neighbours cannot outweigh is fixed; often few remain. The flow is Dinic's
(1970). Its value is what counts; that the cut costs the same is checked each time.
"""

from collections.abc import Sequence


class Graph:
    """Edges between numbered vertices; capacities are given with each cut."""

    def __init__(self, count: int, ends: Sequence[tuple[int, int]]) -> None:
        self.ends = ends
        self.adjacent: list[list[tuple[int, int]]] = [[] for _ in range(count)]
        for edge, (i, j) in enumerate(ends):
            self.adjacent[i].append((j, edge))
            self.adjacent[j].append((i, edge))


class Kernel:
    """The part of a graph that elimination leaves; coefficients are given anew with each call."""

    def __init__(self, variables: list[int], neighbours: Sequence[dict[int, int]]) -> None:
        self.variables = variables
        number = {variable: index for index, variable in enumerate(variables)}
        edges = [(number[i], number[j], slot) for i in variables for j, slot in neighbours[i].items() if i < j]
        self._slots = [slot for _, _, slot in edges]
        self._graph = Graph(len(variables), [(i, j) for i, j, _ in edges])
        self._turned: list[int] | None = None

    def lowest(self, linear: Sequence[int], pairs: Sequence[int]) -> tuple[int, list[int], list[int]]:
        """Return twice a lower bound of the least value, rounded down, and the two vertices of the relaxation."""
        values = [pairs[slot] for slot in self._slots]
        terminals = [2 * linear[variable] for variable in self.variables]
        for (i, j), value in zip(self._graph.ends, values, strict=True):
            terminals[i] += value
            terminals[j] += value
        if max(values, default=0) <= 0:
            value, labels = cut(terminals, self._graph, [-value for value in values])
            return value, labels, labels
        turned = self._turned
        if turned is None or not _balances(turned, self._graph, values):
            turned = self._turned = _balance(self._graph, values)
        if turned is not None:
            constant = sum([t for t, flip in zip(terminals, turned, strict=True) if flip])
            constant -= sum([value for value in values if value > 0])
            signed = [-t if flip else t for t, flip in zip(terminals, turned, strict=True)]
            value, labels = cut(signed, self._graph, [abs(value) for value in values])
            labels = [label ^ flip for label, flip in zip(labels, turned, strict=True)]
            return value + constant, labels, labels
        return _roof(terminals, self._graph, values)


def _balances(turned: Sequence[int], graph: Graph, values: Sequence[int]) -> bool:
    """Whether turning some variables makes every pair negative."""
    return all((q > 0) == (turned[i] != turned[j]) for (i, j), q in zip(graph.ends, values, strict=True) if q)


def _balance(graph: Graph, values: Sequence[int]) -> list[int] | None:
    """Return which variables to turn so that every pair is negative; ``None`` where that cannot be."""
    side = [-1] * len(graph.adjacent)
    for start in range(len(side)):
        if side[start] >= 0:
            continue
        side[start] = 0
        waiting = [start]
        while waiting:
            here = waiting.pop()
            for other, edge in graph.adjacent[here]:
                if not values[edge]:
                    continue
                wanted = side[here] ^ int(values[edge] > 0)
                if side[other] < 0:
                    side[other] = wanted
                    waiting.append(other)
                elif side[other] != wanted:
                    return None
    return side


def _roof(terminals: list[int], graph: Graph, values: Sequence[int]) -> tuple[int, list[int], list[int]]:
    """Bound Σ t·u - Σ q·[u ≠ u'] by the cut of its double cover."""
    count = len(terminals)
    double = [*terminals, *(-t for t in terminals)]
    constant = sum(terminals) - 2 * sum(value for value in values if value > 0)
    ends: list[tuple[int, int]] = []
    for (i, j), value in zip(graph.ends, values, strict=True):
        ends += ((i, j), (i + count, j + count)) if value < 0 else ((i, j + count), (i + count, j))
    capacities = [abs(value) for value in values for _ in range(2)]
    value, labels = cut(double, Graph(2 * count, ends), capacities)
    return (constant + value) // 2, labels[:count], [1 - label for label in labels[count:]]


def cut(terminals: Sequence[int], graph: Graph, capacities: Sequence[int]) -> tuple[int, list[int]]:
    """Return the least value of Σ terminal·u + Σ capacity·[u ≠ u'] over u in {0, 1}, and where it is.

    Args:
        terminals: One number for each vertex.
        graph: The edges.
        capacities: A number ≥ 0 for each edge.
    """
    labels, rest, value = _fixed(terminals, graph, capacities)
    left = [i for i, label in enumerate(labels) if label < 0]
    if left:
        number = {variable: index for index, variable in enumerate(left)}
        network = _Network([rest[i] for i in left])
        for i in left:
            here = number[i]
            for j, edge in graph.adjacent[i]:
                if i < j and labels[j] < 0:
                    network.join(here, number[j], capacities[edge])
        value += network.value()
        for i, label in zip(left, network.labels(), strict=True):
            labels[i] = label
    cost = sum([t for t, label in zip(terminals, labels, strict=True) if label])
    cost += sum([c for (i, j), c in zip(graph.ends, capacities, strict=True) if labels[i] != labels[j]])
    if cost != value:
        raise AssertionError(f"a cut of {cost} and a flow of {value}: they must be equal")
    return value, labels


def _fixed(terminals: Sequence[int], graph: Graph, capacities: Sequence[int]) -> tuple[list[int], list[int], int]:
    """Fix what no neighbour can outweigh; return labels (-1: open), the terminals that remain, and the value so far."""
    rest = list(terminals)
    around = [0] * len(rest)
    for (i, j), capacity in zip(graph.ends, capacities, strict=True):
        around[i] += capacity
        around[j] += capacity
    labels = [-1] * len(rest)
    value = 0
    waiting = [i for i, t in enumerate(rest) if abs(t) >= around[i]]
    while waiting:
        here = waiting.pop()
        if labels[here] >= 0:
            continue
        label = labels[here] = 0 if rest[here] >= around[here] else 1
        value += rest[here] * label
        for other, edge in graph.adjacent[here]:
            if labels[other] < 0:
                capacity = capacities[edge]
                around[other] -= capacity
                rest[other] += -capacity if label else capacity
                value += capacity * label
                if abs(rest[other]) >= around[other]:
                    waiting.append(other)
    return labels, rest, value


class _Network:
    """Dinic's maximum flow; vertices with negative terminals are sources, with positive ones sinks."""

    def __init__(self, terminals: list[int]) -> None:
        self._base = sum(t for t in terminals if t < 0)
        self._excess = [max(-t, 0) for t in terminals]
        self._room = [max(t, 0) for t in terminals]
        self._arcs: list[list[int]] = [[] for _ in terminals]
        self._head: list[int] = []
        self._left: list[int] = []
        self._level: list[int] = []

    def join(self, i: int, j: int, capacity: int) -> None:
        """Add an edge that carries as much either way."""
        self._arcs[i].append(len(self._head))
        self._arcs[j].append(len(self._head) + 1)
        self._head += (j, i)
        self._left += (capacity, capacity)

    def value(self) -> int:
        """Return the least value of the cut."""
        flow = 0
        while self._layer():
            pointers = [0] * len(self._arcs)
            for source, excess in enumerate(self._excess):
                if excess and self._level[source] >= 0:
                    flow += self._push(source, pointers)
        return self._base + flow

    def labels(self) -> list[int]:
        """Return 1 for what cannot reach a sink any more."""
        return [int(level < 0) for level in self._level]

    def _layer(self) -> bool:
        """Find each vertex's distance to a sink; return whether some source reaches one."""
        head, left, arcs = self._head, self._left, self._arcs
        level = [0 if room else -1 for room in self._room]
        frontier = [i for i, room in enumerate(self._room) if room]
        depth = 0
        while frontier:
            depth += 1
            following = []
            for here in frontier:
                for arc in arcs[here]:
                    other = head[arc]
                    if level[other] < 0 and left[arc ^ 1]:
                        level[other] = depth
                        following.append(other)
            frontier = following
        self._level = level
        return any(excess and level[i] >= 0 for i, excess in enumerate(self._excess))

    def _push(self, source: int, pointers: list[int]) -> int:
        """Push what a source has along shortest ways; return how much went."""
        head, left, level, room = self._head, self._left, self._level, self._room
        remaining = self._excess[source]
        path: list[int] = []
        here = source
        while remaining:
            if level[here] == 0:
                amount = min(remaining, room[here], *[left[arc] for arc in path])
                if amount:
                    room[here] -= amount
                    remaining -= amount
                    for arc in path:
                        left[arc] -= amount
                        left[arc ^ 1] += amount
                    full = next((k for k, arc in enumerate(path) if not left[arc]), len(path))
                    if full < len(path):
                        here = head[path[full] ^ 1]
                        del path[full:]
                        continue
                    if not remaining:
                        break
            elif self._advance(here, pointers, path):
                here = head[path[-1]]
                continue
            if not path:
                break
            here = head[path.pop() ^ 1]
            pointers[here] += 1
        pushed = self._excess[source] - remaining
        self._excess[source] = remaining
        return pushed

    def _advance(self, here: int, pointers: list[int], path: list[int]) -> bool:
        """Take the next way from a vertex to one that is nearer to a sink."""
        head, left, level, arcs = self._head, self._left, self._level, self._arcs[here]
        below = level[here] - 1
        at = pointers[here]
        while at < len(arcs):
            arc = arcs[at]
            if left[arc] and level[head[arc]] == below:
                pointers[here] = at
                path.append(arc)
                return True
            at += 1
        pointers[here] = at
        return False
