"""Grouped and depthwise convolutions, experts, tied tensors, positions, and the numbers that count layers."""

from tests.faults.fault import Fault, block, excise, fault, replace

FAULTS: tuple[Fault, ...] = (
    # groups of convolutions
    fault("one channel of four groups", "resnext", excise('conv2d("grouped")', "lowest(<<1 ~> 4>>)"), "SD224", "4"),
    fault("three channels of four groups", "resnext", excise('conv2d("grouped")', "lowest(<<3 ~> 4>>)"), "SD224", "4"),
    fault(
        "channels of one group",
        "resnext",
        excise('conv2d("grouped")', "only(<<[0, 1] ~> [0, 4, 8, 12]>>)"),
        "SD224",
        "only(",
    ),
    fault("all channels of all groups", "resnext", excise('conv2d("grouped")', "lowest(<<16 ~> 8>>)"), "SD221", "16"),
    fault(
        "a channel before groups",
        "resnext",
        excise('conv2d("stem")', "only(<<[5] ~> [1, 5, 9, 13]>>)"),
        "SD224",
        "only(",
    ),
    fault(
        "a fifth of four groups", "resnext", excise('conv2d("grouped")', "lowest(<<2% ~> 25%>>)"), "SD222", "2%", "16"
    ),
    fault("four of four groups", "resnext", excise('conv2d("grouped")', "lowest(<<4 ~> 1>>)", "groups"), "SD221", "4"),
    fault("group 4 of four", "resnext", excise('conv2d("grouped")', "only([<<4 ~> 3>>])", "groups"), "SD129", "4"),
    fault(
        "groups of a plain convolution",
        "resnext",
        excise('conv2d("<<point ~> grouped>>")', "lowest(1)", "groups"),
        "SD127",
    ),
    fault(
        "groups of a linear layer",
        "resnext",
        excise('<<linear("head") ~> conv2d("grouped")>>', "lowest(1)", "groups"),
        "SD127",
    ),
    fault(
        "depthwise channels that are not there",
        "convnext",
        excise('conv2d("convnext.encoder.stages.0.layers.0.dwconv")', "only([<<16 ~> 15>>])"),
        "SD129",
        "16",
    ),
    fault(
        "a width that groups do not divide",
        "resnext",
        replace('conv2d("grouped")', "widen(16 -> <<18 ~> 20>>)"),
        "SD224",
        "18",
        "4",
    ),
    fault(
        "a wrong number of groups to widen",
        "resnext",
        replace('conv2d("grouped")', "widen(<<3 ~> 4>> -> 6, unit = groups)"),
        "SD220",
        "3",
        "4",
    ),
    # experts
    fault(
        "as many experts as a token needs",
        "mixtral",
        excise('experts("model.layers.*.mlp")', "lowest(<<3 ~> 2>>)", "experts"),
        "SD221",
        "2 of 4",
    ),
    fault(
        "every expert",
        "mixtral",
        excise('experts("model.layers.*.mlp")', "lowest(<<4 ~> 2>>)", "experts"),
        "SD221",
        "4 of 4",
    ),
    fault(
        "an expert that is not there",
        "mixtral",
        excise('experts("model.layers.0.mlp")', "only([<<4 ~> 3>>])", "experts"),
        "SD129",
        "4",
    ),
    fault(
        "experts of an attention",
        "mixtral",
        excise('<<attention("model.layers.*.self_attn") ~> experts("model.layers.*.mlp")>>', "lowest(1)", "experts"),
        "SD127",
    ),
    fault(
        "experts of a dense network",
        "llama",
        excise(
            '<<experts("model.layers.*.mlp") ~> linear("model.layers.*.mlp.up_proj")>>',
            "lowest(1)",
            "<<experts ~> channels>>",
        ),
        "SD120",
    ),
    fault(
        "experts by a wrong arrow",
        "qwen2_moe",
        excise('experts("model.layers.*.mlp")', "lowest(<<8 ~> 6>> -> 4)", "experts"),
        "SD220",
        "8",
        "6",
    ),
    fault(
        "five of six experts",
        "qwen2_moe",
        excise('experts("model.layers.*.mlp")', "lowest(6 -> <<1 ~> 2>>)", "experts"),
        "SD221",
        "5 of 6",
    ),
    fault(
        "a tenth of an expert",
        "qwen2_moe",
        excise('experts("model.layers.*.mlp")', "lowest(<<5% ~> 50%>>)", "experts"),
        "SD222",
        "5%",
        "6",
    ),
    fault(
        "a router's rows",
        "qwen2_moe",
        excise(
            'linear("model.layers.0.mlp.<<gate ~> shared_expert.gate_proj>>")', "only(<<[0, 1, 2, 3, 4] ~> [0, 1]>>)"
        ),
        "SD223",
        "chooses 2",
        at="take",
    ),
    # tied tensors
    fault(
        "a new head of a tied embedding",
        "gpt2",
        replace('linear("lm_head")', "linear(97)", "changes = outputs<< ~> \n  tie = untie>>"),
        "SD230",
        "wte",
        at="at =",
    ),
    fault(
        "an adapter on a tied head",
        "gpt2",
        replace('linear("<<lm_head ~> transformer.h.0.mlp.c_proj>>")', "lora(rank = 4)"),
        "SD230",
    ),
    fault(
        "factors of a tied head",
        "bloom",
        replace('linear("<<lm_head ~> transformer.h.0.mlp.dense_4h_to_h>>")', "svd(rank = 8)"),
        "SD230",
    ),
    fault(
        "factors of a tied embedding's head",
        "opt",
        replace('linear("lm_head")', "svd(rank = 8)", "<<tie = keep ~> tie = untie>>"),
        "SD230",
        "embed_tokens",
        at="at =",
    ),
    fault("int8 of a tied head", "decoder", replace('linear("<<head ~> blocks.0.up>>")', "int8()"), "SD230"),
    fault(
        "an adapter of a tied BERT head",
        "distilbert",
        replace('linear("<<vocab_projector ~> vocab_transform>>")', "lora(rank = 4)"),
        "SD230",
    ),
    # layers
    fault(
        "every layer", "llama", excise('module("model.layers.*")', "only(<<0..2 ~> 0..1>>)", "modules"), "SD221", "3"
    ),
    fault(
        "a layer that is not there",
        "llama",
        excise('module("model.layers.*")', "only([<<3 ~> 2>>])", "modules"),
        "SD129",
        "3",
    ),
    fault(
        "layers of a longer model",
        "gpt2",
        excise('module("transformer.h.*")', "only(<<9..11 ~> 1..2>>)", "modules"),
        "SD129",
        "3",
    ),
    fault(
        "layers by a wrong arrow",
        "gpt2",
        excise('module("transformer.h.*")', "only([1])", "modules", "expect = <<12 ~> 3>>"),
        "SD121",
        "12",
        "3",
    ),
    fault(
        "half of a layer",
        "bert",
        excise('module("bert.encoder.layer.*<<.attention ~> >>")', "only([1])", "modules"),
        "SD128",
        "3",
    ),
    fault(
        "layers of both stacks",
        "bart",
        excise('module("model.<<{encoder,decoder} ~> decoder>>.layers.*")', "only([1])", "modules"),
        "SD128",
    ),
    fault(
        "the one entry of a list that is named",
        "vgg",
        excise('<<module ~> conv2d>>("features.3")', "only([0])", "<<modules ~> channels>>"),
        "SD221",
        at="take",
    ),
    fault(
        "a stage that changes the width",
        "resnet",
        excise('module("resnet.encoder.stages.1.layers.*")', "only([<<0 ~> 1>>])", "modules"),
        "SD231",
        "16",
        "24",
        at="mode =",
    ),
    fault(
        "a layer of a chain of widths",
        "mlp",
        excise('<<module("hidden.*") ~> linear("hidden.*")>>', "only([0])", "<<modules ~> channels>>"),
        "SD231",
        "16",
        "32",
        at="mode =",
    ),
    fault(
        "a first layer in a chain of widths",
        "vgg",
        excise('module("classifier.*")', "only([<<0 ~> 1>>])", "modules"),
        "SD231",
        "1024",
        "32",
        at="mode =",
    ),
    fault(
        "an activation that never runs",
        "bert",
        replace('module("bert.encoder.layer.*.<<crossattention ~> intermediate.intermediate_act_fn>>")', "relu()"),
        "SD120",
    ),
    # positions and stale attributes
    fault(
        "rows of a table of positions",
        "gpt2",
        excise('embedding("transformer.wpe")', "only([<<63 ~> 47>>])"),
        "SD129",
        "63",
        "48",
    ),
    fault(
        "a rank above the narrower side",
        "bert",
        replace('linear("classifier")', "lora(rank = <<4 ~> 2>>)"),
        "SD245",
        "4",
        "3",
    ),
    fault(
        "a rank that saves nothing",
        "bert",
        replace('linear("bert.encoder.layer.*.intermediate.dense")', "svd(rank = <<30 ~> 8>>)"),
        "SD245",
        "30",
    ),
    fault(
        "a rank above a matrix",
        "llama",
        replace('linear("model.layers.*.mlp.down_proj")', "svd(rank = <<60 ~> 12>>)"),
        "SD245",
        "60",
    ),
    fault(
        "an adapter of full rank",
        "vit",
        replace('linear("vit.layers.*.mlp.fc1")', "lora(rank = <<64 ~> 8>>)"),
        "SD245",
        "64",
        "48",
    ),
    fault(
        "an adapter on a norm",
        "vit",
        replace('<<norm("vit.layers.*.layernorm_before") ~> linear("vit.layers.*.mlp.fc1")>>', "lora(rank = 8)"),
        "SD244",
    ),
    fault(
        "all linear layers, a tied one among them",
        "decoder",
        replace('linear("**"<< ~> , except = "head">>)', "int8()"),
        "SD230",
    ),
    fault(
        "a second selection of what went",
        "llama",
        excise('linear("model.layers.0.mlp.up_proj")', "lowest(50%)")
        + block(
            "identify more",
            'in = linear("model.layers.0.mlp.gate_proj")',
            "unit = channels",
            "take = only([<<40 ~> 20>>])",
        )
        + block("excise more"),
        "SD129",
        "40",
        "28",
    ),
    fault(
        "a layer that went before",
        "llama",
        excise('module("model.layers.*")', "only([2])", "modules")
        + block(
            "identify more",
            'in = linear("model.layers.<<2 ~> 1>>.mlp.up_proj")',
            "unit = channels",
            "by = magnitude()",
            "take = lowest(2)",
        )
        + block("excise more"),
        "SD120",
    ),
    fault(
        "a selection that a later step made stale",
        "llama",
        block(
            "identify early",
            'in = linear("model.layers.0.mlp.up_proj")',
            "unit = channels",
            "by = magnitude()",
            "take = lowest(2)",
        )
        + replace('linear("model.layers.<<0 ~> 1>>.mlp.up_proj")', "widen(56 -> 60)")
        + block("excise early"),
        "SD308",
        at="excise",
    ),
    fault(
        "a width that went before",
        "gpt2",
        excise('linear("transformer.h.0.mlp.c_fc")', "lowest(192 -> 96)")
        + replace('linear("transformer.h.0.mlp.c_fc")', "widen(<<192 ~> 96>> -> 200)"),
        "SD220",
        "192",
        "96",
    ),
)
