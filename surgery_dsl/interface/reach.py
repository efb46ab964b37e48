"""What bound propagation does not reach, told from the interface alone."""

from collections.abc import Iterator

from surgery_dsl.interface.model import Interface

_UNREACHED = frozenset(
    {"softmax", "log_softmax", "scaled_dot_product_attention", "layer_norm", "rms_norm", "group_norm", "lstm", "gru"}
)
_PRODUCTS = frozenset({"matmul", "mul", "div", "grouped_matmul"})
"""Affine where one factor is constant; a product of two values of the forward is not."""


def out_of_reach(
    interface: Interface, inside: str = "", constants: frozenset[str] = frozenset()
) -> Iterator[tuple[str, str]]:
    """Yield operators between input and output that no bound reaches: what is said of them, and their module.

    With ``inside``, of the operators of one module, whatever they read. What is computed from inputs that are
    ``constants``, by name, is one itself.
    """
    felt = {port.value for port in interface.inputs if port.name not in constants}
    for operator in interface.operators:
        if inside and operator.module != inside and not operator.module.startswith(f"{inside}."):
            felt.update(operator.outputs)
            continue
        reads = [value for value in operator.inputs if value in felt]
        if not reads:
            continue
        felt.update(operator.outputs)
        place = f"`{operator.module}`" if operator.module else "the network's own forward"
        if operator.kind in _UNREACHED:
            yield f"no bound is known for `{operator.kind}` in {place}", operator.module
        elif operator.kind in _PRODUCTS and len(reads) > 1:
            yield f"no bound is known for a product of two values, `{operator.kind}` in {place}", operator.module
