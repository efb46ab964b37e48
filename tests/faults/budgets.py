"""Budgets out of reach, by a little and by much, of outcomes that are known and of those that a ranking leaves open."""

from tests.faults.fault import Fault, block, excise, fault, prove

UP = 'linear("model.layers.*.mlp.up_proj")'
FC = 'linear("transformer.h.*.mlp.c_fc")'
CONV = 'conv2d("layer*.*.conv1")'


def limited(
    name: str,
    architecture: str,
    sites: str,
    take: str,
    claim: str,
    *says: str,
    unit: str = "channels",
    further: tuple[str, ...] = (),
    code: str = "SD301",
) -> Fault:
    return fault(name, architecture, excise(sites, take, unit, *further) + prove(claim), code, *says)


FAULTS: tuple[Fault, ...] = (
    limited(
        "half of a Llama by a tenth of its neurons",
        "llama",
        UP,
        "lowest(10%)",
        "params <= <<50% ~> 96%>> * base.params",
    ),
    limited("one parameter too few", "gpt2", FC, "lowest(50%)", "params <= <<1 ~> 200000>>"),
    limited(
        "a limit met exactly, but strictly", "mlp", 'linear("hidden.0")', "lowest(32 -> 16)", "params <<< ~> <=>> 1010"
    ),
    limited("a lower limit", "gpt2", FC, "lowest(50%)", "params >= <<0.90 ~> 0.50>> * base.params"),
    limited(
        "bytes",
        "bert",
        'linear("bert.encoder.layer.*.intermediate.dense")',
        "lowest(25%)",
        "weight_bytes <= <<100KiB ~> 400KiB>>",
    ),
    limited("products", "timm_resnet", CONV, "lowest(25%)", "macs <= <<0.50 ~> 0.97>> * base.macs"),
    limited(
        "nothing removed where half was asked",
        "convnext",
        'linear("convnext.encoder.stages.*.layers.*.pwconv1")',
        "lowest(5%)",
        "params <= <<0.50 ~> 0.99>> * base.params",
    ),
    limited(
        "a ranking that takes from small layers",
        "resnet",
        'conv2d("resnet.encoder.stages.*.layers.*.layer.0.convolution")',
        "lowest(30%)",
        "params <= <<0.60 ~> 1>> * base.params",
        further=("per = global", "floor = 4"),
    ),
    limited(
        "a ranking over a chain",
        "vgg",
        'conv2d("features.*")',
        "lowest(40%)",
        "params <= <<0.40 ~> 1>> * base.params",
        further=("per = global", "floor = 4"),
    ),
    limited(
        "products under a ranking",
        "small_resnet",
        'conv2d("stage*.*.conv1")',
        "lowest(25%)",
        "macs <= <<0.50 ~> 1>> * base.macs",
        further=("per = global", "floor = 4"),
    ),
    limited(
        "a ranking with caps",
        "timm_resnet",
        CONV,
        "lowest(25%)",
        "params <= <<0.55 ~> 1>> * base.params",
        further=("per = global", "cap = 50%"),
    ),
    limited(
        "a least count under a ranking",
        "densenet",
        'conv2d("layers.*")',
        "lowest(30%)",
        "params >= <<0.95 ~> 0.10>> * base.params",
        further=("per = global", "floor = 2"),
    ),
    limited("a threshold that may take nothing", "llama", UP, "below(0.5)", "params <= <<0.99 ~> 1>> * base.params"),
    limited(
        "a threshold that may take much",
        "opt",
        'linear("model.decoder.layers.*.fc1")',
        "below(0.5)",
        "params >= <<0.90 ~> 0.10>> * base.params",
    ),
    limited(
        "a floor against a budget",
        "phi",
        'linear("model.layers.*.mlp.fc1")',
        "lowest(16)",
        "params <= <<0.75 ~> 0.95>> * base.params",
        further=("floor = 40",),
    ),
    limited(
        "a cap against a budget",
        "gpt_neox",
        'linear("gpt_neox.layers.*.mlp.dense_h_to_4h")',
        "lowest(28)",
        "params <= <<0.75 ~> 0.99>> * base.params",
        further=("cap = 28",),
    ),
    limited(
        "key/value bytes by query heads",
        "llama",
        'attention("model.layers.*.self_attn")',
        "lowest(2)",
        "kv_cache_bytes <= <<0.70 ~> 1>> * base.kv_cache_bytes",
        unit="heads",
    ),
    limited(
        "key/value bytes by groups",
        "mistral",
        'attention("model.layers.*.self_attn")',
        "lowest(1)",
        "kv_cache_bytes <= <<0.50 ~> 0.70>> * base.kv_cache_bytes",
        unit="kv_groups",
    ),
    limited(
        "parameters by heads",
        "vit",
        'attention("vit.layers.*.attention")',
        "lowest(1)",
        "params <= <<0.80 ~> 0.95>> * base.params",
        unit="heads",
    ),
    limited(
        "parameters by experts",
        "mixtral",
        'experts("model.layers.*.mlp")',
        "lowest(2)",
        "params <= <<0.50 ~> 0.75>> * base.params",
        unit="experts",
    ),
    limited(
        "parameters by experts under a ranking",
        "qwen2_moe",
        'experts("model.layers.*.mlp")',
        "lowest(4)",
        "params <= <<0.60 ~> 1>> * base.params",
        unit="experts",
        further=("per = global",),
    ),
    limited(
        "parameters by layers",
        "bart",
        'module("model.decoder.layers.*")',
        "only([1])",
        "params <= <<0.50 ~> 0.90>> * base.params",
        unit="modules",
    ),
    limited(
        "products by groups of channels",
        "resnext",
        'conv2d("grouped")',
        "lowest(4)",
        "macs <= <<0.50 ~> 0.90>> * base.macs",
    ),
    limited(
        "parameters of a U-Net", "unet", 'conv2d("middle")', "lowest(50%)", "params <= <<0.40 ~> 0.90>> * base.params"
    ),
    limited(
        "peak memory",
        "inception",
        'conv2d("three")',
        "lowest(2)",
        "peak_memory(N = 1, H = 32, W = 32) <= <<0.10 ~> 1>> * base.peak_memory(N = 1, H = 32, W = 32)",
    ),
    limited(
        "peak memory of any size",
        "inception",
        'conv2d("three")',
        "lowest(2)",
        "peak_memory<< ~> (N = 1, H = 32, W = 32)>> <= 30MiB",
        code="SD111",
    ),
    limited(
        "an equality that is one off", "mlp", 'linear("hidden.0")', "lowest(32 -> 16)", "params == <<1011 ~> 1010>>"
    ),
    limited(
        "a contradiction",
        "t5",
        'linear("encoder.block.*.layer.1.DenseReluDense.wi")',
        "lowest(25%)",
        "params <= 0.99 * base.params\n  prove params >= <<0.999 ~> 0.50>> * base.params",
        code="SD316",
    ),
    limited(
        "a part of the network alone",
        "distilbert",
        'linear("distilbert.transformer.layer.0.ffn.lin1")',
        "lowest(25%)",
        "params <= <<0.75 ~> 0.99>> * base.params",
    ),
    fault(
        "zeros that are not removed",
        "llama",
        excise(UP, "lowest(50%)", "channels", mode="<<zero ~> remove>>") + prove("params <= 0.95 * base.params"),
        "SD301",
        at="prove",
    ),
    fault(
        "a schedule that ends early",
        "opt",
        block("identify weak", 'in = linear("model.decoder.layers.*.fc1")', "unit = channels", "by = magnitude()")
        + block("excise weak", "schedule = cubic(0% -> <<10% ~> 60%>>, steps = 3)")
        + prove("params <= 0.85 * base.params"),
        "SD301",
        at="prove",
    ),
    fault(
        "an amount twice",
        "opt",
        block(
            "identify weak",
            'in = linear("model.decoder.layers.*.fc1")',
            "unit = channels",
            "by = magnitude()<<\n  take = lowest(10%) ~> >>",
        )
        + block("excise weak", "schedule = cubic(0% -> 60%, steps = 3)"),
        "SD315",
        at="schedule",
    ),
)
