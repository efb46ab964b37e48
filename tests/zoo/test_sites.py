"""What the words for sites find on real networks, against what the module objects themselves are."""

import re
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec

import pytest
from torch import nn

from benchmarks.zoo.networks import Architecture
from surgery_dsl.interface.flow import Flow
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import Interface
from surgery_dsl.trace.capture import trace
from surgery_dsl.vocabulary.sites._paths import PathSites
from surgery_dsl.vocabulary.sites._structures import StructureSites
from surgery_dsl.vocabulary.sites.attention import Attention
from surgery_dsl.vocabulary.sites.conv1d import Conv1d
from surgery_dsl.vocabulary.sites.conv2d import Conv2d
from surgery_dsl.vocabulary.sites.conv3d import Conv3d
from surgery_dsl.vocabulary.sites.embedding import Embedding
from surgery_dsl.vocabulary.sites.experts import Experts
from surgery_dsl.vocabulary.sites.gelu import Gelu
from surgery_dsl.vocabulary.sites.head import Head
from surgery_dsl.vocabulary.sites.linear import Linear
from surgery_dsl.vocabulary.sites.mlp import Mlp
from surgery_dsl.vocabulary.sites.norm import Norm
from surgery_dsl.vocabulary.sites.relu import Relu
from surgery_dsl.vocabulary.sites.silu import Silu
from surgery_dsl.vocabulary.units._axes import site_dims
from tests.unit.selection.bench import static

pytest.importorskip("transformers")

# fmt: off
NETWORKS = [
    "BertForMaskedLM", "AlbertForMaskedLM", "DebertaForMaskedLM", "DistilBertForMaskedLM", "ElectraForMaskedLM",
    "MPNetForMaskedLM", "FNetForMaskedLM", "SqueezeBertForMaskedLM", "IBertForMaskedLM", "LongformerForMaskedLM",
    "GPT2LMHeadModel", "GPTNeoForCausalLM", "GPTBigCodeForCausalLM", "FalconForCausalLM", "BloomForCausalLM",
    "OPTForCausalLM", "LlamaForCausalLM", "Qwen3ForCausalLM", "Gemma2ForCausalLM", "CohereForCausalLM",
    "ApertusForCausalLM", "DiffLlamaForCausalLM", "OlmoForCausalLM", "MixtralForCausalLM", "Qwen2MoeForCausalLM",
    "GptOssForCausalLM", "PhimoeForCausalLM", "BambaForCausalLM", "FalconMambaForCausalLM", "RwkvForCausalLM",
    "T5ForConditionalGeneration", "BartForConditionalGeneration", "WhisperForConditionalGeneration", "Wav2Vec2ForCTC",
    "EncodecModel", "ViTForImageClassification", "ConvNextForImageClassification", "ResNetForImageClassification",
    "SegformerForSemanticSegmentation", "Swinv2ForImageClassification", "SwiftFormerForImageClassification",
    "DPTForDepthEstimation", "VideoMAEForVideoClassification", "CLIPModel", "DetrForObjectDetection", "SiglipModel",
    "timm/resnetv2", "timm/metaformer", "timm/maxxvit", "timm/visformer", "timm/repvit", "timm/cait",
    "timm/swin_transformer", "timm/efficientnet",
]
# fmt: on

EXPLAINED: dict[tuple[str, str], str] = {
    ("SqueezeBertForMaskedLM", "attention"): "its layers hand on dictionaries, so the encoder holds both attentions",
    ("LongformerForMaskedLM", "attention"): "its scores are put together from bands, not made by one product",
    (
        "ApertusForCausalLM",
        "mlp",
    ): "its activation (xIELU) has parameters and branches, and is no pointwise function here",
    ("GptOssForCausalLM", "mlp"): "the class is a mixture of experts",
    ("BambaForCausalLM", "norm"): "the norm and the gate in front of it are one module",
    ("RwkvForCausalLM", "attention"): "a recurrence: no scores, no softmax",
    ("SwiftFormerForImageClassification", "attention"): "additive: no product of queries and keys",
    ("Swinv2ForImageClassification", "relu"): "runs on a table of distances, which no input reaches",
    ("SegformerForSemanticSegmentation", "mlp"): "single linear layers whose class is called so",
    ("SiglipModel", "attention"): "its queries are a parameter that no layer of the forward makes from an input",
    ("DetrForObjectDetection", "norm"): "frozen statistics are a scale and a shift; one norm runs on constants alone",
    ("DetrForObjectDetection", "attention"): "the queries of its only decoder layer are parameters",
    ("timm/metaformer", "mlp"): "the class is a head: what comes out is as wide as the labels",
    ("timm/visformer", "mlp"): "a grouped convolution mixes positions between its pointwise ones",
    ("timm/cait", "attention"): "linear layers mix the scores of heads before and after the softmax",
}
"""What a word does not find though its class is called so, by network and word."""

Named = dict[str, nn.Module]


def kinds(module: nn.Module) -> list[str]:
    return [kind.__name__ for kind in type(module).__mro__]


def of_class(*names: str) -> Callable[[Named], set[str]]:
    """Return what finds the modules of some classes, or made of them."""
    return lambda modules: {path for path, module in modules.items() if set(names) & set(kinds(module))}


def called(pattern: str) -> Callable[[Named], set[str]]:
    """Return what finds the innermost modules whose class has such a name."""

    def find(modules: Named) -> set[str]:
        found = {path for path, module in modules.items() if re.search(pattern, type(module).__name__)}
        return {path for path in found if not any(other.startswith(path + ".") for other in found)}

    return find


def perceptrons(modules: Named) -> set[str]:
    """Return the modules that are, or hold as attributes of their own, two layers with an activation between them."""
    found = called(r"(?i)(mlp|ffn|feedforward|ActDense)$")(modules)
    for path, module in modules.items():
        children = dict(module.named_children())
        linear = [isinstance(children.get(name), nn.Linear) for name in ("fc1", "fc2")]
        if all(linear) or {"intermediate", "output"} <= set(children):
            found.add(path)
    return {path for path in found if not any(other.startswith(path + ".") for other in found)}


def mixtures(modules: Named) -> set[str]:
    """Return the modules with stacked experts."""
    return {path for path, module in modules.items() if re.search(r"Experts$", type(module).__name__)}


WORDS: dict[type[PathSites], Callable[[Named], set[str]]] = {
    Linear: of_class("Linear", "Conv1D"),
    Conv1d: of_class("Conv1d"),
    Conv2d: of_class("Conv2d"),
    Conv3d: of_class("Conv3d"),
    Embedding: of_class("Embedding"),
    Norm: called(r"(Layer|RMS|Batch|Group|Instance)Norm(\d[dD]|1P)?(Gated|Act2d)?$"),
    Attention: called(r"(Attention|Attn)(\d[dD])?$"),
    Mlp: perceptrons,
    Experts: mixtures,
    Relu: of_class("ReLU"),
    Gelu: of_class("GELU", "GELUActivation", "NewGELUActivation", "GELUTanh"),
    Silu: of_class("SiLU", "SiLUActivation"),
}


@cache
def network(architecture: str) -> tuple[Named, Interface]:
    if architecture.startswith("timm/") and find_spec("timm") is None:
        pytest.skip("timm is not installed")
    found = next(a for a in every() if a.name == architecture)
    specs = [
        InputSpec(name=name, dtype=one.dtype, dims=one.shape, below=one.below if one.dtype == "i64" else None)
        for name, one in found.inputs.items()
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the libraries say of their own future
        model = found.build().eval()
        interface = trace(model, tuple(specs), found.outputs)
    return dict(model.named_modules(remove_duplicate=False)), interface


def every() -> list[Architecture]:
    from benchmarks.zoo import architectures_hf, architectures_timm

    return [*architectures_hf.architectures(), *architectures_timm.architectures()]


def names(word: PathSites, interface: Interface) -> dict[str, str]:
    """Return, for each path that some site goes by, that site's own."""
    sites = word.candidates(interface)
    if isinstance(word, StructureSites):
        return {path: site.path for site, paths in word._paths(interface).items() for path in paths}
    return {site.path: site.path for site in sites} | {
        also: path for path, also in word.aliases(sites, interface).items()
    }


def differences(architecture: str) -> Iterator[tuple[str, str, str]]:
    """Yield word, path and class of each module that a word does not find, or finds only together with another one."""
    modules, interface = network(architecture)
    for word, wanted in WORDS.items():
        made = word(pattern="**")
        found = names(made, interface)
        taken: dict[str, nn.Module] = {}
        for path in sorted(wanted(modules)):
            if not interface.calls_of(path):
                continue
            site = found.get(path)
            if site is None or taken.setdefault(site, modules[path]) is not modules[path]:
                yield made.name, path, type(modules[path]).__name__


@pytest.mark.parametrize("architecture", NETWORKS)
def test_words_find_what_the_modules_are(architecture: str) -> None:
    missed = {(architecture, word): f"{path}: {kind}" for word, path, kind in differences(architecture)}
    assert missed.keys() == {known for known in EXPLAINED if known[0] == architecture}, missed


@pytest.mark.parametrize("architecture", NETWORKS)
def test_words_find_nothing_else(architecture: str) -> None:
    """What is found without a module of the class is a call in a forward, and its weight is no such module's."""
    modules, interface = network(architecture)
    for word in (Linear, Conv1d, Conv2d, Conv3d, Embedding):
        for site in word(pattern="**").candidates(interface):
            kind = type(modules[site.module]).__name__
            if site.path == site.module and not kind.endswith(word.__name__):  # QuantEmbedding is made of none
                assert WORDS[word]({site.path: modules[site.path]}), site.path


HEADS = {
    "BertForMaskedLM": ["cls.predictions.decoder"],
    "GPT2LMHeadModel": ["lm_head"],
    "ViTForImageClassification": ["classifier"],
    "SegformerForSemanticSegmentation": ["decode_head.classifier"],
    "DPTForDepthEstimation": ["head.head.4"],
    "Wav2Vec2ForCTC": ["lm_head"],
    "DetrForObjectDetection": ["class_labels_classifier", "bbox_predictor.layers.2"],
    "CLIPModel": ["visual_projection", "text_projection"],
    "timm/resnetv2": ["head.fc"],
    "timm/repvit": ["head.head.l", "head.head_dist.l"],
}


@pytest.mark.parametrize("architecture", HEADS)
def test_the_head_is_what_writes_the_output(architecture: str) -> None:
    assert sorted(site.path for site in Head().candidates(network(architecture)[1])) == sorted(HEADS[architecture])


COUNTED = [
    ("LlamaForCausalLM", Linear(pattern="model.layers.*.self_attn.{q,k,v,o}_proj"), 8),
    ("LlamaForCausalLM", Norm(pattern="model.layers.*.*_layernorm"), 4),
    ("FalconForCausalLM", Linear(pattern="transformer.h.*.mlp.dense_h_to_4h"), 2),
    ("BartForConditionalGeneration", Embedding(pattern="model.{encoder,decoder}.embed_tokens"), 2),
    ("BertForMaskedLM", Embedding(pattern="bert.embeddings.*"), 3),
    ("BertForMaskedLM", Attention(pattern="bert.encoder.layer.*.attention"), 2),
    ("BertForMaskedLM", Attention(pattern="bert.encoder.layer.*.attention.self"), 2),
    ("BertForMaskedLM", Mlp(pattern="bert.encoder.layer.1"), 1),
    ("GPT2LMHeadModel", Gelu(pattern="transformer.h.*.mlp.act"), 2),
    ("CohereForCausalLM", Norm(pattern="model.norm"), 1),
    ("BambaForCausalLM", Conv1d(pattern="**.conv1d"), 1),
    ("Wav2Vec2ForCTC", Conv1d(pattern="**.pos_conv_embed.conv"), 1),
    ("MixtralForCausalLM", Experts(pattern="model.layers.*.mlp"), 2),
    ("VideoMAEForVideoClassification", Conv3d(pattern="**"), 1),
    ("WhisperForConditionalGeneration", Attention(pattern="**.encoder_attn"), 2),
    ("timm/metaformer", Mlp(pattern="stages.*.blocks.*.mlp"), 5),
]


@pytest.mark.parametrize(("architecture", "word", "count"), COUNTED, ids=[f"{a}-{w.pattern}" for a, w, _ in COUNTED])
def test_patterns_take_what_they_name(architecture: str, word: PathSites, count: int) -> None:
    interface = network(architecture)[1]
    context = static(interface)
    assert len(word.resolve(interface, context)) == count
    assert context.sink.found == ()


def test_channels_of_a_table_of_positions_are_the_stream() -> None:
    """No operator shows what is looked up by constants; its channels are those of the words all the same."""
    interface = network("BertForMaskedLM")[1]
    words, _, positions = Embedding(pattern="bert.embeddings.*").resolve(interface, static(interface))
    flow = Flow(interface)
    assert (
        site_dims(words, flow)
        == site_dims(positions, flow)
        == (interface.tensor_by_name["bert.embeddings.word_embeddings.weight"].dims[1],)
    )
