"""Typos, words of other slots, patterns that match nothing, wrong units, and expectations that do not hold."""

from tests.faults.fault import Fault, block, excise, fault, prove, replace

UP = 'linear("model.layers.*.mlp.up_proj")'

FAULTS: tuple[Fault, ...] = (
    # patterns
    fault(
        "a layer list of another family",
        "llama",
        excise('linear("<<transformer.h ~> model.layers>>.*.mlp.up_proj")', "lowest(10%)"),
        "SD120",
    ),
    fault(
        "a projection of another family",
        "gpt2",
        excise('linear("transformer.h.*.mlp.<<up_proj ~> c_fc>>")', "lowest(10%)"),
        "SD120",
    ),
    fault(
        "a typo in a path",
        "bert",
        excise('linear("bert.encoder.layer.*.<<intermedate ~> intermediate>>.dense")', "lowest(10%)"),
        "SD120",
        "intermediate",
    ),
    fault(
        "layers for layer",
        "bert",
        excise('linear("bert.encoder.<<layers ~> layer>>.*.intermediate.dense")', "lowest(10%)"),
        "SD120",
        "bert.encoder.layer.",
    ),
    fault(
        "a prefix left out",
        "bert",
        excise('linear("<<encoder ~> bert.encoder>>.layer.*.intermediate.dense")', "lowest(10%)"),
        "SD120",
    ),
    fault("layer 3 of three", "llama", excise('linear("model.layers.<<3 ~> 2>>.mlp.up_proj")', "lowest(10%)"), "SD120"),
    fault(
        "one star for two segments", "vit", excise('linear("vit.layers.<<* ~> *.mlp>>.fc1")', "lowest(10%)"), "SD120"
    ),
    fault(
        "an alternative that is not there",
        "llama",
        replace('linear("model.layers.*.self_attn.{q,v<<,qkv ~> >>}_proj")', "lora(rank = 4)"),
        "SD120",
        "qkv",
    ),
    fault(
        "an exception that matches nothing",
        "llama",
        excise('linear("model.layers.*.mlp.up_proj", except = ["model.layers.<<7 ~> 2>>.**"])', "lowest(10%)"),
        "SD120",
    ),
    fault(
        "a convolution that is linear",
        "vit",
        excise('<<conv2d ~> linear>>("vit.layers.*.mlp.fc1")', "lowest(10%)"),
        "SD120",
    ),
    fault(
        "a linear layer that is a convolution",
        "resnet",
        excise('<<linear ~> conv2d>>("resnet.encoder.stages.0.layers.*.layer.0.convolution")', "lowest(25%)"),
        "SD120",
    ),
    fault("an activation that the network lacks", "llama", replace('<<gelu ~> silu>>("**")', "relu()"), "SD120"),
    fault(
        "a pattern with an empty segment",
        "llama",
        excise('linear("model<<.. ~> .>>layers.*.mlp.up_proj")', "lowest(10%)"),
        "SD122",
    ),
    fault(
        "an open brace",
        "llama",
        excise('linear("model.layers.*.mlp.<<{up,gate ~> {up,gate}>>_proj")', "lowest(10%)"),
        "SD122",
    ),
    fault(
        "a pattern in capitals",
        "t5",
        excise('linear("encoder.block.*.layer.1.<<denseReluDense ~> DenseReluDense>>.wi")', "lowest(10%)"),
        "SD120",
        "DenseReluDense",
    ),
    fault(
        "experts by the name of a dense layer",
        "mixtral",
        excise('linear("model.layers.*.<<mlp.up_proj ~> self_attn.o_proj>>")', "lowest(10%)"),
        "SD120",
    ),
    fault(
        "an embedding of another name",
        "opt",
        excise('embedding("model.decoder.<<wte ~> embed_tokens>>")', "lowest(10%)"),
        "SD120",
        "embed_tokens",
    ),
    # expectations
    fault(
        "twelve layers expected",
        "bert",
        excise('linear("bert.encoder.layer.*.intermediate.dense")', "lowest(10%)", "channels", "expect = <<12 ~> 3>>"),
        "SD121",
        "12",
        "3",
    ),
    fault(
        "a pattern that is wider than meant",
        "llama",
        replace('linear("model.layers.*.mlp.<<* ~> up_proj>>")', "lora(rank = 4)", "expect = 3"),
        "SD121",
        "9",
        "3",
        at="expect",
    ),
    fault(
        "an expectation of convolutions",
        "timm_resnet",
        excise('conv2d("layer*.*.conv1")', "lowest(25%)", "channels", "expect = <<16 ~> 8>>"),
        "SD121",
        "16",
        "8",
    ),
    fault(
        "activations counted wrongly",
        "vit",
        replace('gelu("**")', "relu()", "expect = <<12 ~> 3>>"),
        "SD121",
        "12",
        "3",
    ),
    # words
    fault(
        "a criterion with a typo",
        "llama",
        excise(UP, "lowest(10%)", "channels", "by = <<magnitud ~> magnitude>>()"),
        "SD105",
        "magnitude",
    ),
    fault("a unit in the singular", "llama", excise(UP, "lowest(10%)", "<<channel ~> channels>>"), "SD105", "channels"),
    fault("a take of another tool", "llama", excise(UP, "<<prune ~> lowest>>(10%)"), "SD105"),
    fault("a transform with a typo", "vit", replace('gelu("**")', "<<reluu ~> relu>>()"), "SD105", "relu"),
    fault("a mode with a typo", "llama", excise(UP, "lowest(10%)", mode="<<delete ~> remove>>"), "SD105"),
    fault(
        "a site with a typo",
        "vit",
        excise('<<linaer ~> linear>>("vit.layers.*.mlp.fc1")', "lowest(10%)"),
        "SD105",
        "linear",
    ),
    fault("a loss in the place of a transform", "vit", replace('gelu("**")', "<<cross_entropy ~> relu()>>"), "SD105"),
    fault("an argument with a typo", "llama", replace(UP, "lora(<<ranks ~> rank>> = 4)"), "SD110", "rank"),
    fault("an argument left out", "llama", replace(UP, "lora(<<alpha = 8 ~> rank = 8>>)"), "SD111", "rank"),
    fault("a rank of zero", "llama", replace(UP, "lora(rank = <<0 ~> 4>>)"), "SD112"),
    fault("a text for a number", "llama", replace(UP, 'lora(rank = <<"8" ~> 8>>)'), "SD107"),
    fault(
        "a norm of order zero",
        "llama",
        excise(UP, "lowest(10%)", "channels", "by = magnitude(p = <<0 ~> 2>>)"),
        "SD112",
    ),
    fault("percentage points of channels", "llama", excise(UP, "lowest(<<10pp ~> 10%>>)"), "SD108"),
    fault("a fraction of channels", "llama", excise(UP, "lowest(<<0.1 ~> 10%>>)"), "SD108", "10%"),
    fault("more than all", "llama", excise(UP, "lowest(<<120% ~> 20%>>)"), "SD112", "120"),
    fault("millions of channels", "llama", excise(UP, "lowest(<<1M ~> 1>>)"), "SD221", "1000000 of 56"),
    # names and blocks
    fault(
        "an attribute with a typo",
        "llama",
        excise(UP, "lowest(10%)", "channels", "<<flor ~> floor>> = 8"),
        "SD101",
        "floor",
    ),
    fault(
        "an attribute of another block",
        "llama",
        excise(UP, "lowest(10%)", "channels", "<<tie = keep ~> floor = 8>>"),
        "SD101",
    ),
    fault(
        "an attribute twice",
        "llama",
        excise(UP, "lowest(10%)", "channels", "<<unit = channels ~> floor = 8>>"),
        "SD103",
    ),
    fault(
        "a selection that is not there",
        "llama",
        excise(UP, "lowest(10%)").replace("excise weak", "excise <<week ~> weak>>"),
        "SD106",
        "weak",
    ),
    fault(
        "a block with a typo",
        "llama",
        excise(UP, "lowest(10%)").replace("identify weak", "<<identfy ~> identify>> weak"),
        "SD100",
        "identify",
    ),
    fault(
        "a name twice",
        "llama",
        excise(UP, "lowest(10%)")
        + block("replace <<weak ~> soft>>", 'at = linear("model.layers.0.mlp.down_proj")', "with = lora(rank = 2)"),
        "SD104",
        "weak",
    ),
    fault(
        "a reserved name",
        "llama",
        replace(UP, "lora(rank = 4)").replace("replace new", "replace <<base ~> new>>"),
        "SD115",
        "base",
    ),
    fault(
        "a ranking without a criterion",
        "llama",
        excise(UP, "lowest(10%)", "channels").replace("by = magnitude()", "<<expect = 3 ~> by = magnitude()>>"),
        "SD125",
        at="take",
    ),
    fault(
        "no take",
        "llama",
        excise(UP, "lowest(10%)", "channels").replace("take = lowest(10%)", "<<floor = 8 ~> take = lowest(10%)>>"),
        "SD123",
        at="identify",
    ),
    fault(
        "weights that are removed", "llama", excise(UP, "lowest(10%)", "weights", mode="<<remove ~> zero>>"), "SD229"
    ),
    fault(
        "a param outside its range",
        "llama",
        "param share { default = <<70% ~> 30%>>, in = 20%..60% }\n".replace(", in", "\n  in")
        .replace("{ d", "{\n  d")
        .replace("% }", "%\n}")
        + excise(UP, "lowest(share)"),
        "SD113",
        "70%",
        "60%",
    ),
    fault(
        "a param that is not there",
        "llama",
        block("param share", "default = 30%") + excise(UP, "lowest(<<shares ~> share>>)"),
        "SD107",
        "share",
    ),
    fault(
        "a quantity with a typo",
        "llama",
        excise(UP, "lowest(10%)") + prove("<<param ~> params>> <= base.params"),
        "SD105",
        "params",
    ),
    fault(
        "a budget without its base",
        "llama",
        excise(UP, "lowest(10%)") + prove("params <= 99% << ~> * base.params>>"),
        "SD109",
        "base.params",
    ),
    fault(
        "a later point", "llama", excise(UP, "lowest(10%)") + prove("params <= <<after(late) ~> base>>.params"), "SD106"
    ),
    fault(
        "a measure that is proved",
        "llama",
        excise(UP, "lowest(10%)") + prove("coverage(weak)<< ~>  >= 10%>>"),
        "SD107",
        "<=",
    ),
    fault(
        "a frozen tensor that a step writes",
        "llama",
        excise(UP, "lowest(10%)") + prove('frozen(param("<<model.layers.0.mlp.up_proj ~> lm_head>>.weight"))'),
        "SD301",
    ),
    fault(
        "a frozen tensor that is not there",
        "llama",
        excise(UP, "lowest(10%)") + prove('frozen(param("<<head ~> lm_head>>.weight"))'),
        "SD120",
        "lm_head",
    ),
    fault(
        "exactness of what is not exact",
        "vit",
        replace('gelu("**")', "relu()") + prove('<<exact(new) ~> frozen(param("classifier.weight"))>>'),
        "SD301",
    ),
    fault(
        "a coverage that is not reached",
        "llama",
        excise('linear("model.layers.<<0 ~> *>>.mlp.*_proj")', "lowest(10%)") + prove("coverage(weak) >= 40%"),
        "SD301",
        "40",
        at="prove",
    ),
)
