"""Recurrent layers and cells that torch runs as one call; others come apart into products, splits and gates."""

from surgery_dsl.trace.atoms import Product
from surgery_dsl.trace.registry import Outcome, rule
from surgery_dsl.trace.step import State, Step


def _join_gates(step: Step, gates: Product, hidden: Product) -> None:
    """Make a dimension the gates one behind the other, each as wide as the state.

    Source: torch.nn.LSTM (four gates), torch.nn.GRU (three), torch.nn.RNN (one).
    """
    count = step.axes.sizes(gates)[0] // step.axes.sizes(hidden)[0]
    step.axes.unify(gates, step.axes.concatenate([hidden] * count))


@rule("mkldnn_rnn_layer")
def layer(step: Step) -> Outcome:
    """One layer in one direction over (time, batch, features): weights (gates · hidden, features), (…, hidden)."""
    source, hidden = step.of("input").dims, step.of("weight1").dims[-1]
    step.axes.unify(step.of("weight0").dims[-1], source[-1])
    for number in range(4):
        weight = step.state(f"weight{number}")
        if weight is not None and step["has_biases"] >= (number > 1):
            _join_gates(step, weight.dims[0], hidden)
    for name in ("hx_", "cx_"):
        state = step.state(name)
        if state is not None and len(state.dims) > 1:
            step.axes.unify(state.dims[-1], hidden)
            step.axes.unify(state.dims[-2], source[1])
    end: list[Product] = [source[1], hidden]
    shapes = [[*source[:-1], hidden], end, end]
    spare = [[step.axes.fresh(size, "a workspace") for size in out] for out in step.output_sizes[3:]]
    roles = {"weight0": "weight_ih", "weight1": "weight_hh", "weight2": "bias_ih", "weight3": "bias_hh"}
    gates = step.of("weight0").dims[0]
    lead = source[0] + source[1] + gates
    return Outcome(
        [*shapes[: len(step.output_sizes)], *spare],
        kind="recurrent",
        roles=roles,
        settings={"mode": int(step["mode"]), "reverse": bool(step["reverse"])},
        macs=(lead + source[-1], lead + hidden),
    )


@rule("lstm", "gru", "rnn_tanh", "rnn_relu")
def layers(step: Step) -> Outcome | None:
    """All layers and directions at once. Source: torch.nn.RNNBase, which lists the parameters layer by layer."""
    if step.operation.overload != "input" or step["batch_first"] is None:
        return None
    source, params = step.of("input").dims, step.many("params")
    states = step.many("hx")
    each = 4 if step["has_biases"] else 2
    directions = 2 if step["bidirectional"] else 1
    if len(params) != each * directions * int(step["num_layers"]):
        return None
    features = source[-1]
    hidden = params[1].dims[-1]
    for first in range(0, len(params), each * directions):
        for start in range(first, first + each * directions, each):
            _one(step, params[start : start + each], features, hidden)
        features = step.axes.concatenate([hidden] * directions)
    batch = source[0 if step["batch_first"] else 1]
    for state in states:
        step.axes.unify(state.dims[-1], hidden)
        step.axes.unify(state.dims[-2], batch)
    out = [[*source[:-1], features]]
    for _ in step.output_sizes[1:]:
        out.append([states[0].dims[0], batch, hidden])
    return Outcome(out, kind=step.operation.name)


def _one(step: Step, params: list[State], features: Product, hidden: Product) -> None:
    step.axes.unify(params[0].dims[-1], features)
    step.axes.unify(params[1].dims[-1], hidden)
    for param in params:
        _join_gates(step, param.dims[0], hidden)


@rule("_thnn_fused_lstm_cell", "_thnn_fused_gru_cell")
def cell(step: Step) -> Outcome:
    """Gates of one moment, and the state: a cell without its products."""
    state = step.of("cx" if "lstm" in step.operation.name else "hx").dims
    for name in ("input_gates", "hidden_gates", "input_bias", "hidden_bias"):
        gates = step.state(name)
        if gates is not None:
            _join_gates(step, gates.dims[-1], state[-1])
    work = [[step.axes.fresh(size, "a workspace") for size in out] for out in step.output_sizes]
    kept = 2 if "lstm" in step.operation.name else 1
    return Outcome([*([state] * kept), *work[kept:]], kind=step.operation.name.strip("_"))
