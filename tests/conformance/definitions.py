"""What measured quantities and predicates mean, written again from their definitions, in float64 and without haste.

Keys are names of words. A quantity without an entry here fails the suite: nothing else would tell that it measures
what it says.
"""

import copy
import math
import statistics
import time
import weakref
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from surgery_dsl.vocabulary.word import Word
from tests.conformance.live import Moment, Operation

Pair = tuple[Tensor, Tensor]


def doubled(model: nn.Module) -> nn.Module:
    return copy.deepcopy(model).double().eval()


def wide(inputs: Tensor) -> Tensor:
    return inputs.double() if inputs.is_floating_point() else inputs


def accuracy(word: Word, now: nn.Module, base: nn.Module, data: Pair) -> float:
    rows = doubled(now)(wide(data[0])).tolist()
    return sum(row.index(max(row)) == label for row, label in zip(rows, data[1].tolist(), strict=True)) / len(rows)


def flips(word: Word, now: nn.Module, base: nn.Module, data: Pair) -> float:
    after, before = doubled(now)(wide(data[0])).tolist(), doubled(base)(wide(data[0])).tolist()
    count = 0
    for one, two, label in zip(before, after, data[1].tolist(), strict=True):
        count += one.index(max(one)) == label and two.index(max(two)) != label
    return count / len(after)


def loss(word: Word, now: nn.Module, base: nn.Module, data: Pair) -> float:
    rows = doubled(now)(wide(data[0])).tolist()
    total, clip = 0.0, getattr(word, "clip", None) or math.inf
    for row, label in zip(rows, data[1].tolist(), strict=True):
        most = max(row)
        total += min(most + math.log(sum(math.exp(value - most) for value in row)) - row[label], clip)
    return total / len(rows)


def change(word: Word, now: nn.Module, base: nn.Module, data: Pair) -> float:
    after, before = doubled(now)(wide(data[0])).tolist(), doubled(base)(wide(data[0])).tolist()
    apart = [[a - b for a, b in zip(one, two, strict=True)] for one, two in zip(after, before, strict=True)]
    norm = getattr(word, "norm", None)
    if norm == "inf":
        return max(abs(value) for row in apart for value in row)
    if norm == 2:
        return max(math.sqrt(sum(value * value for value in row)) for row in apart)
    squares = [sum(value * value for row in rows for value in row) for rows in (apart, before)]
    return math.sqrt(squares[0] / squares[1])


def dead(word: Word, now: nn.Module, base: nn.Module, data: Pair) -> float:
    network, count = doubled(now), 0
    found: list[Tensor] = []
    kinds = (nn.ReLU, nn.GELU, nn.LeakyReLU, nn.SiLU)
    for module in network.modules():
        if isinstance(module, kinds):
            module.register_forward_hook(lambda _, __, output: found.append(output.detach()))
    network(wide(data[0]))
    for output in found:
        units = output.movedim(1, -1).reshape(-1, output.shape[1]).abs()
        count += sum(float(column.max()) <= getattr(word, "eps", 0.0) for column in units.T)
    return float(count)


def grad_flow(word: Word, now: nn.Module, base: nn.Module, data: Pair) -> float:
    network = doubled(now)
    count = 16 * int(getattr(word, "batches", 0))
    inputs, labels = data[0][:count], data[1][:count]
    F.cross_entropy(network(wide(inputs)), labels).backward()  # type: ignore[no-untyped-call]
    norms = []
    for module in network.modules():
        own = [p.grad for p in module.parameters(recurse=False)]
        if own:
            norms.append(math.sqrt(sum(float((gradient**2).sum()) for gradient in own if gradient is not None)))
    return min(norms)


@torch.no_grad()
def magnitude(word: Word, now: nn.Module, base: nn.Module, data: Pair) -> float:
    """Only for networks of the base's shape; the general case is held to brute force where distances are tested."""
    after, before = dict(doubled(now).named_parameters()), dict(doubled(base).named_parameters())
    assert after.keys() == before.keys()
    apart = sum(float(((after[name] - before[name]) ** 2).sum()) for name in before)
    return math.sqrt(apart / sum(float((value**2).sum()) for value in before.values()))


def nonzero(word: Word, now: nn.Module, base: nn.Module, data: Pair) -> float:
    return float(sum(value != 0 for parameter in now.parameters() for value in parameter.flatten().tolist()))


def params(word: Word, now: nn.Module, base: nn.Module, data: Pair) -> float:
    return float(sum(math.prod(parameter.shape) for parameter in now.parameters()))


def weight_bytes(word: Word, now: nn.Module, base: nn.Module, data: Pair) -> float:
    kept = {tensor.data_ptr(): tensor for tensor in now.state_dict(keep_vars=True).values()}
    return float(sum(tensor.untyped_storage().nbytes() for tensor in kept.values()))


def macs(word: Word, now: nn.Module, base: nn.Module, data: Pair) -> float:
    """Half of what torch's own counter of floating-point operations counts for one example."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        now(data[0][:1])
    return counter.get_total_flops() / 2


def coverage(word: Word, now: nn.Module, base: nn.Module, data: Pair) -> float:
    """Of the step that the templates of quantities identify: the layers before the head, norms left out."""
    layers = [m for path, m in base.named_modules() if isinstance(m, nn.Linear | nn.Conv2d) and path != "head"]
    total = sum(parameter.numel() for parameter in base.parameters())
    return sum(parameter.numel() for layer in layers for parameter in layer.parameters()) / total


def perplexity(word: Word, now: nn.Module, base: nn.Module, data: Pair) -> float:
    rows = torch.log_softmax(doubled(now)(data[0]), dim=-1).tolist()
    found = [
        -rows[at][t][token]
        for at, text in enumerate(data[1].tolist())
        for t, token in enumerate(text[1:])
        if token != -100
    ]
    return math.exp(sum(found) / len(found))


def cosine(word: Word, now: nn.Module, base: nn.Module, data: Pair) -> float:
    after, before = doubled(now)(wide(data[0])).tolist(), doubled(base)(wide(data[0])).tolist()
    found = []
    for one, two in zip(after, before, strict=True):
        product = sum(a * b for a, b in zip(one, two, strict=True))
        found.append(product / math.sqrt(sum(a * a for a in one) * sum(b * b for b in two)))
    return min(found) if getattr(word, "over", "") == "min" else sum(found) / len(found)


def kv_cache_bytes(word: Word, model: nn.Module, base: nn.Module, data: Pair) -> float:
    """The layers that are called ``k`` and ``v`` write what is kept of each token."""
    layers = [module for name, module in model.named_modules() if name.rpartition(".")[2] in ("k", "v")]
    kept = sum(layer.weight.shape[0] * layer.weight.element_size() for layer in layers)
    return float(kept * word.tokens * word.sequences)


def peak_memory(word: Word, now: nn.Module, base: nn.Module, data: Pair) -> float:
    """In a chain of layers: all tensors, the network's input, and what one layer reads and writes."""
    example = data[0][:1]
    most = 0

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal most
        (read,) = inputs
        own = 0 if read.data_ptr() == example.data_ptr() else read.nbytes
        most = max(most, own + output.nbytes)

    hooks = [m.register_forward_hook(note) for m in now.modules() if not list(m.children())]
    with torch.no_grad():
        now(example)
    for hook in hooks:
        hook.remove()
    kept = {tensor.data_ptr(): tensor.nbytes for tensor in (*now.parameters(), *now.buffers())}
    return float(sum(kept.values()) + example.nbytes + most)


def activations(now: nn.Module, data: Pair) -> list[Tensor]:
    """What each activation gives, a row for each example and position, in float64."""
    network = doubled(now)
    found: list[Tensor] = []
    for module in network.modules():
        if isinstance(module, nn.ReLU | nn.GELU | nn.LeakyReLU | nn.SiLU):
            module.register_forward_hook(lambda _, __, output: found.append(output.detach()))
    network(wide(data[0]))
    return [output.movedim(1, -1).reshape(-1, output.shape[1]) for output in found]


def constant_units(word: Word, now: nn.Module, base: nn.Module, data: Pair) -> float:
    most = getattr(word, "epsilon", 0.0)
    columns = [column.tolist() for rows in activations(now, data) for column in rows.T]
    return float(sum(statistics.pvariance(column) <= most for column in columns))


def redundant_units(word: Word, now: nn.Module, base: nn.Module, data: Pair) -> float:
    count = 0
    for rows in activations(now, data):
        left: list[Tensor] = []
        for column in rows.T:
            if not bool(column.any()):
                continue
            fits = [torch.linalg.lstsq(other[:, None], column[:, None]).solution * other[:, None] for other in left]
            if any(float((column - fit[:, 0]).norm() / column.norm()) < getattr(word, "epsilon", 0.0) for fit in fits):
                count += 1
            else:
                left.append(column)
    return float(count)


def effective_rank(word: Word, now: nn.Module, base: nn.Module, data: Pair) -> float:
    ranks = []
    for rows in activations(now, data):
        values = torch.linalg.svdvals(rows).tolist()
        shares = [value / sum(values) for value in values if value > 0]
        ranks.append(math.exp(-sum(share * math.log(share) for share in shares)))
    return min(ranks)


def layer_change(word: Word, now: nn.Module, base: nn.Module, data: Pair) -> float:
    """Only for networks of the base's shape."""
    seen: list[dict[str, Tensor]] = []
    for model in (doubled(base), doubled(now)):
        written: dict[str, Tensor] = {}
        for path, module in model.named_modules():
            if isinstance(getattr(module, "weight", None), Tensor):
                module.register_forward_hook(partial(_written, written, path))
        model(wide(data[0]))
        seen.append(written)
    before, after = seen
    return max(float((after[path] - before[path]).norm() / before[path].norm()) for path in before)


def _written(found: dict[str, Tensor], path: str, _: nn.Module, __: object, output: Tensor) -> None:
    found[path] = output.detach()


def bn_shift(word: Word, now: nn.Module, base: nn.Module, data: Pair) -> float:
    network, worst = doubled(now), 0.0

    def note(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nonlocal worst
        for channel, values in enumerate(inputs[0].detach().movedim(1, 0).flatten(1).tolist()):
            deviation = math.sqrt(float(norm.running_var[channel]) + norm.eps)
            off = abs(statistics.fmean(values) - float(norm.running_mean[channel])) / deviation
            worst = max(worst, off, abs(statistics.stdev(values) / deviation - 1))

    for module in network.modules():
        if hasattr(module, "running_mean"):
            module.register_forward_pre_hook(note)
    network(wide(data[0]))
    return worst


def proved_dead(word: Word, now: nn.Module, base: nn.Module, data: Pair) -> float:
    """Of boxes so small that they are points: the units that no example wakes."""
    network, count = doubled(now), 0
    seen: list[Tensor] = []
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    network(wide(data[0]))
    for values in seen:
        count += sum(float(column.max()) <= 0 for column in values.movedim(1, -1).reshape(-1, values.shape[1]).T)
    return float(count)


def measured_memory(word: Word, now: nn.Module, base: nn.Module, data: Pair) -> float:
    """Where each layer is one operator: all tensors, the batch, and the results that are still there behind a layer."""
    batch, alive, most = data[0][: getattr(word, "batch", 1)], list[weakref.ref[Tensor]](), 0

    def note(_: nn.Module, __: object, output: Tensor) -> None:
        nonlocal most
        alive.append(weakref.ref(output))
        most = max(most, sum(found.nbytes for found in (one() for one in alive) if found is not None))

    hooks = [m.register_forward_hook(note) for m in now.modules() if not list(m.children())]
    with torch.no_grad():
        now(batch)
    for hook in hooks:
        hook.remove()
    kept = {tensor.data_ptr(): tensor.nbytes for tensor in (*now.parameters(), *now.buffers())}
    return float(sum(kept.values()) + batch.nbytes + most)


def latency(word: Word, now: nn.Module, base: nn.Module, data: Pair) -> float:
    """Times do not repeat: see :data:`LOOSELY`."""
    seconds = []
    with torch.no_grad():
        for _ in range(15):
            began = time.perf_counter()
            now(data[0][: getattr(word, "batch", 1)])
            seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


@torch.no_grad()
def merge_drift(word: Word, before: nn.Module, after: nn.Module, data: Pair) -> float:
    inputs = data[0].to(next(before.parameters()).dtype)
    old, new = before(inputs).double().tolist(), after(inputs).double().tolist()
    return max(abs(a - b) for one, two in zip(new, old, strict=True) for a, b in zip(one, two, strict=True))


LOOSELY = {"latency": 30.0}
"""Quantities that are not the same twice, and by what factor they may be off."""

QUANTITIES: dict[str, Callable[[Word, nn.Module, nn.Module, Pair], float]] = {
    "accuracy": accuracy,
    "bn_shift": bn_shift,
    "change": change,
    "constant_units": constant_units,
    "effective_rank": effective_rank,
    "latency": latency,
    "layer_change": layer_change,
    "measured_memory": measured_memory,
    "proved_dead": proved_dead,
    "redundant_units": redundant_units,
    "cosine": cosine,
    "coverage": coverage,
    "dead": dead,
    "flips": flips,
    "grad_flow": grad_flow,
    "kv_cache_bytes": kv_cache_bytes,
    "loss": loss,
    "macs": macs,
    "magnitude": magnitude,
    "nonzero": nonzero,
    "params": params,
    "peak_memory": peak_memory,
    "perplexity": perplexity,
    "weight_bytes": weight_bytes,
}


OF_A_STEP: dict[str, Callable[[Word, nn.Module, nn.Module, Pair], float]] = {"merge_drift": merge_drift}
"""Quantities that a step has made: what they mean of the networks just before it and just after it."""


# ---- predicates --------------------------------------------------------------------------------------------------


def exact(word: Word, operation: Operation) -> bool:
    steps = getattr(word, "steps", ())
    return all(_same_function(m, operation.inputs) for m in operation.moments if m.run.step.name in steps)


def _same_function(moment: Moment, inputs: Tensor) -> bool:
    before, after = moment.before.outputs(inputs), moment.after.outputs(inputs)
    return bool(torch.allclose(before, after, rtol=1e-5, atol=1e-5))


def frozen(word: Word, operation: Operation) -> bool:
    """Nothing but what the named step brought, or stands where it acted, has other bits than in the base."""
    excepted = getattr(word, "except_", None)
    first = operation.moments[0].before
    paths = {p for m in operation.moments if m.run.step.name == excepted for p in m.effect.brings}
    last = operation.final.digests
    return all(
        last.get(name) == value
        for name, value in first.digests.items()
        if not any(name.startswith(f"{path}.") for path in paths)
    )


PREDICATES: dict[str, Callable[[Word, Operation], bool]] = {"exact": exact, "frozen": frozen}
