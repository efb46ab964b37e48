"""Which layer hurts: what became of each layer, its activations and its norms, as measured at the end of the run."""

from collections.abc import Iterator

from surgery_dsl.certificate.health import Health, LayerHealth, MergedLayer, MergeHealth
from surgery_dsl.report.document import LONGEST, BarPlot, Column, Part, Section, Text, folded, table
from surgery_dsl.report.numbers import counted, short
from surgery_dsl.report.result import Result

BARS = 16
"""Layers of one plot: those that changed most."""

LAYERS = (
    Column("layer", "name"),
    Column("now", "name"),
    Column("‖Δθ‖/‖θ‖", "number"),
    Column("change of output", "number"),
    Column("score", "number"),
    Column("gradient now", "number"),
    Column("note"),
)
ACTIVATIONS = (
    Column("activation", "name"),
    Column("units", "number"),
    Column("dead", "number"),
    Column("constant", "number"),
    Column("redundant", "number"),
    Column("effective rank", "number"),
)
MERGED = (
    Column("merged layer", "name"),
    Column("stored in"),
    Column("update lost", "number"),
    Column("entries vanished", "number"),
    Column("change of output", "number"),
)
NORMS = (Column("norm", "name"), Column("worst channel, in deviations of the data", "number"))


def section(result: Result) -> Section | None:
    """Return the section; nothing where the run looked at no layer."""
    health = result.predicate.health
    if health is None or not (health.layers or health.activations or health.norms or health.merges):
        return None
    return Section("health", "Which layer hurts", tuple(_parts(health)))


def _parts(health: Health) -> Iterator[Part]:
    if health.data:
        yield Text(
            f"Measured on the first {counted(health.examples, 'example')} of `{health.data}`. A score is what the "
            "change of a layer would cost if the loss were a plane: it ranks, and bounds nothing."
        )
    else:
        yield Text("No data was read: weights alone are compared.")
    scored = [(layer.path, layer.score) for layer in health.layers if layer.score is not None]
    moved = [(layer.path, layer.output_change) for layer in health.layers if layer.output_change is not None]
    if any(value for _, value in scored):
        said = "What the change of a layer would cost by the gradient of the base; below zero it would gain."
        yield _bars("Score of each layer", said, "⟨∇L, Δθ⟩", scored)
    if any(value for _, value in moved):
        said = "How far what a layer gives lies from what it gave, over the units that are left, as a share of it."
        yield _bars("Change of what each layer gives", said, "‖h′ − h‖/‖h‖", moved)
    if health.layers:
        yield folded(table("Layers", LAYERS, [_layer(layer) for layer in _shown(health.layers)]))
    if health.activations:
        rows = [
            (
                one.path,
                *(f"{number:,}" for number in (one.units, one.dead, one.constant)),
                "" if one.redundant is None else f"{one.redundant:,}",
                "" if one.effective_rank is None else short(one.effective_rank),
            )
            for one in health.activations
        ]
        yield folded(table("Units of activations", ACTIVATIONS, rows))
    for merge in health.merges:
        yield Text(_merge(merge))
        yield folded(table(f"Rounding by `{merge.step}`", MERGED, [_merged(layer) for layer in _lost(merge)]))
    if health.norms:
        norms = [(norm.path, short(norm.shift)) for norm in health.norms]
        yield folded(table("Running statistics against those of the data", NORMS, norms))


def _merge(merge: MergeHealth) -> str:
    said = f"`{merge.step}` folded adapters into {counted(len(merge.layers), 'layer')}. "
    if merge.data:
        moved = "not finite" if merge.largest is None else short(merge.largest)
        mean = "" if merge.mean is None else f" ({short(merge.mean)} on average)"
        said += f"On {counted(merge.examples, 'example')} of `{merge.data}` it moved outputs by up to {moved}{mean}"
        if merge.answers:
            said += f", and {merge.changed:,} of {counted(merge.answers, 'largest output')} to another place"
        said += ". "
    else:
        said += "How far it moved the outputs was not measured. "
    return said + (
        "Real arithmetic would move nothing: what is lost is the rounding of each stored sum, a share of the update; "
        "an entry vanished where its update was less than half a step of the dtype."
    )


def _lost(merge: MergeHealth) -> list[MergedLayer]:
    """Return the merged layers; of more than a table shows, those first that lost most."""
    layers = list(merge.layers)
    return layers if len(layers) <= LONGEST else sorted(layers, key=lambda layer: -(layer.lost or 0.0))


def _merged(layer: MergedLayer) -> tuple[str, ...]:
    change = "" if layer.output_change is None else short(layer.output_change)
    lost = "" if layer.lost is None else short(layer.lost)
    return (layer.path, layer.dtype, lost, f"{100 * layer.vanished:.3g} %", change)


def _bars(title: str, said: str, unit: str, values: list[tuple[str, float]]) -> BarPlot:
    most = sorted(values, key=lambda pair: -pair[1])[:BARS]
    if len(values) > BARS:
        said += f" The {BARS} greatest of {len(values):,}."
    return BarPlot(title, said, unit, tuple(most))


def _shown(layers: tuple[LayerHealth, ...]) -> list[LayerHealth]:
    """Return layers in the order of the forward; of more than a table shows, first those that matter most."""
    if len(layers) <= LONGEST:
        return list(layers)

    def matters(layer: LayerHealth) -> tuple[float, ...]:
        return -abs(layer.score or 0.0), -(layer.output_change or 0.0), -(layer.weight_change or 0.0)

    return sorted(layers, key=matters)


def _layer(layer: LayerHealth) -> tuple[str, ...]:
    numbers = (layer.weight_change, layer.output_change, layer.score, layer.gradient)
    now = "" if layer.now == layer.path else layer.now or "gone"
    return (layer.path, now, *("" if number is None else short(number) for number in numbers), layer.note)
