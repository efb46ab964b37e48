"""How layers and units fared, for people: which layer hurts, which units do nothing."""

from collections.abc import Iterable

from surgery_dsl.certificate.health import ActivationHealth, Health, LayerHealth, MergeHealth

MOST = 8
"""How many layers are shown; the certificate has all of them."""
FAR = 0.1
"""From how many deviations on running statistics are worth a line."""


def health_text(health: Health) -> list[str]:
    """Return the table as lines: the layers that moved most, then what is wrong with activations and norms."""
    moved = [layer for layer in health.layers if layer.weight_change or layer.output_change]
    if not moved:
        return []
    shown = sorted(moved, key=_far, reverse=True)[:MOST]
    width = max(len("layer"), *(len(layer.path) for layer in shown))
    where = f" on the first {health.examples:,} examples of `{health.data}`" if health.data else ""
    lines = ["", f"  which layer hurts{where} (the score is first-order, and no bound)"]
    lines.append(f"  {'layer':{width}} {'weights':>9} {'output':>9} {'gradient':>9} {'score':>9}")
    for layer in health.layers:
        if layer in shown:
            lines.append(_layer(layer, width))
    if len(moved) > MOST:
        lines.append(f"  and {len(moved) - MOST} layers that moved less")
    lines += _activations(health.activations)
    lines += [_merge(merge) for merge in health.merges if merge.largest]
    off = [norm for norm in health.norms if norm.shift >= FAR]
    lines += [f"  {norm.path}: running statistics are {norm.shift:.2g} deviations off" for norm in off[:MOST]]
    if off:
        lines.append("  (a `recover` with `train = statistics` averages them anew)")
    return lines + [f"  {note}" for note in health.notes]


def _merge(merge: MergeHealth) -> str:
    worst = max(merge.layers, key=lambda layer: layer.lost or 0.0)
    said = (
        f"  {merge.step}: outputs moved by up to {merge.largest:.2g} on {merge.examples:,} examples of `{merge.data}`"
    )
    if merge.changed:
        said += f", {merge.changed:,} of {merge.answers:,} largest ones elsewhere"
    if not worst.lost:
        return said
    vanished = f", {100 * worst.vanished:.2g} % of its entries vanished" if worst.vanished else ""
    return said + f"; {worst.path} lost {worst.lost:.2g} of its update to rounding in {worst.dtype}{vanished}"


def _far(layer: LayerHealth) -> float:
    return layer.output_change if layer.output_change is not None else layer.weight_change or 0.0


def _layer(layer: LayerHealth, width: int) -> str:
    changes = (layer.weight_change, layer.output_change)
    shares = " ".join(f"{'-' if value is None else f'{100 * value:.1f} %':>9}" for value in changes)
    others = " ".join(f"{'-' if value is None else f'{value:.2g}':>9}" for value in (layer.gradient, layer.score))
    return f"  {layer.path:{width}} {shares} {others}   {layer.note}".rstrip()


def _activations(found: Iterable[ActivationHealth]) -> list[str]:
    lines = []
    for one in found:
        counts = ((one.dead, "dead"), (one.constant - one.dead, "constant"), (one.redundant or 0, "redundant"))
        said = ", ".join(f"{count} {what}" for count, what in counts if count > 0)
        if said:
            lines.append(f"  {one.path}: {said} of {one.units} units")
    return lines
