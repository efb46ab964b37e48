"""Scaled dot-product attention as one operator."""

from surgery_dsl.interface import frozen
from surgery_dsl.interface.model import Setting
from surgery_dsl.trace.atoms import Product, Sizes, flat
from surgery_dsl.trace.registry import Outcome, rule
from surgery_dsl.trace.step import Step


@rule(
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_fused_attention_overrideable",
    "_scaled_dot_product_attention_math",
    "scaled_dot_product_attention",
)
def attention(step: Step) -> Outcome | None:
    """softmax(q·kᵀ)·v for each head; q and k share their features, k and v their positions."""
    query, key, value = (step.of(name).dims for name in ("query", "key", "value"))
    if len(query) != 4:
        return None
    step.axes.unify(query[0], key[0])
    step.axes.unify(query[0], value[0])
    step.axes.unify(key[1], value[1])
    _heads(step, query[1], key[1])
    step.axes.unify(query[3], key[3])
    step.axes.unify(key[2], value[2])
    for name in ("attn_mask", "attn_bias"):
        mask = step.state(name)
        if mask is not None:
            scores: list[Product] = [*query[:3], key[2]]
            for dim, own in zip(reversed(scores), reversed(mask.dims), strict=False):
                if flat(own):
                    step.axes.unify(dim, own)
    if step["scale"] is None:
        step.axes.freeze(query[3], frozen.scaled(step.axes.place))
    lead = query[0] + query[1] + query[2] + key[2]
    settings: dict[str, Setting] = {"is_causal": bool(step["is_causal"])} | step.settings("scale")
    rest = [_statistic(step, out, query[:3]) for out in step.output_sizes[1:]]
    return Outcome(
        [[*query[:3], value[3]], *rest],
        kind="scaled_dot_product_attention",
        settings=settings,
        macs=(lead + query[3], lead + value[3]),
    )


def _heads(step: Step, query: Product, key: Product) -> None:
    """Join the heads: one for one, or several queries behind one another for each key (grouped queries)."""
    heads, keys = step.axes.sizes(query), step.axes.sizes(key)
    if heads == keys or any(n % k for n, k in zip(heads, keys, strict=True)):
        step.axes.unify(query, key)
        return
    group = step.axes.fresh(tuple(n // k for n, k in zip(heads, keys, strict=True)))
    step.axes.unify(query, key + group)


def _statistic(step: Step, sizes: list[Sizes], lead: list[Product]) -> list[Product]:
    """Return the dimensions of a side result: one number for each query, or what only the kernel knows."""
    if sizes == [step.axes.sizes(dim) for dim in lead]:
        return list(lead)
    return [step.axes.fresh(size, "a statistic of attention") for size in sizes]
