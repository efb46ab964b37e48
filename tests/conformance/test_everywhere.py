"""Whatever ``check`` accepts, ``apply`` carries out as predicted: every example on every network, in every place.

Most of these plans are refused, which is an answer too; nothing may be accepted and then turn out otherwise.
"""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.interface.canonical import differences
from tests.conformance import networks
from tests.conformance.live import created, interface_effects, operate, written
from tests.conformance.words import TEMPLATES, Entry, each, entries
from tests.conformance.workbench import Workbench

CHANGING = entries("modes", "transforms", "units")
CHOOSING = entries("criteria", "initializers", "takes")
ODD = ["embedding", "grouped", "residual", "tied"]

ONLY_RUNNING_TELLS = {
    ("takes", "SD306"),  # a take that looks for something finds none in this data
    ("modes", "SD519"),  # dead channels whose constant nothing can hold are seen in the weights
    ("modes", "SD234"),  # the host's own forward pairs the list with another one, in Python
    ("transforms", "SD234"),  # or names its entries one by one
}
"""Kinds and codes of refusals that no static rule can foresee."""


def broken(bench: Workbench, entry: Entry, text: str) -> list[str]:
    """Say which promises a plan breaks that ``check`` has nothing against."""
    try:
        operation = operate(bench, text)
    except Refused as refused:
        code = refused.diagnostics[0].code.id
        return [] if (entry.kind, code) in ONLY_RUNNING_TELLS else [str(refused)]
    found = [] if operation.untouched[0] == operation.untouched[1] else ["rollback leaves something"]
    for moment in operation.moments:
        found += differences(moment.predicted.interface, moment.after.interface)
        found += [f"writes {name}" for name in written(moment) - moment.effect.writes]
        found += [f"creates {name}" for name in created(moment) - moment.effect.creates]
        word = getattr(moment.run.step, "mode", None) or getattr(moment.run.step, "transform", None)
        if isinstance(word, entry.word):
            found += [f"changes {effect}" for effect in interface_effects(moment) - entry.card.interface]
        if moment.effect.function == "exact":
            before, after = moment.before.outputs(operation.inputs), moment.after.outputs(operation.inputs)
            if not torch.allclose(before, after, rtol=1e-5, atol=1e-5):
                found.append(f"is not exact: {float((before - after).abs().max())}")
    return found


@each(CHANGING)
def test_a_changing_word_does_as_predicted(entry: Entry, workbench: Workbench) -> None:
    _holds_on(entry, [name for name in networks.INPUTS if name != "adapted"], workbench)  # 16 bits round too coarsely


@each(CHOOSING)
def test_a_choosing_word_does_as_predicted(entry: Entry, workbench: Workbench) -> None:
    _holds_on(entry, list(dict.fromkeys([entry.card.fixture, *ODD])), workbench)


def _holds_on(entry: Entry, chosen: list[str], bench: Workbench) -> None:
    found, ran = {}, 0
    for network in chosen:
        for template in entry.templates():
            text = entry.example(template, network)
            if not bench.errors(text):
                ran += 1
                found[f"{network}, {template.name}"] = broken(bench, entry, text)
    assert {place: what for place, what in found.items() if what} == {}
    assert ran, "the word stands nowhere"


def test_a_shared_activation_is_watched_where_it_runs(workbench: Workbench) -> None:
    """The residual network has one ReLU that runs four times, on two widths."""
    template = TEMPLATES / "criteria.surg"
    text = Entry("criteria", "activation").example(template, "residual")
    operation = operate(workbench, text)
    network = operation.session.base()
    seen: list[Tensor] = []
    handle = network.get_submodule("act").register_forward_hook(lambda _, __, output: seen.append(output.double()))
    inputs = networks.data("residual")[0][:32]
    with torch.no_grad():
        network(inputs)
    handle.remove()
    selection = operation.session.picked("chosen")
    assert len(selection.indices) == 3
    for block, taken in enumerate(selection.indices):
        scores = seen[block].abs().mean(0)
        assert set(taken) == set(scores.argsort()[: len(taken)].tolist())
    assert isinstance(network.get_submodule("act"), nn.ReLU)


@pytest.mark.parametrize("network", sorted(networks.INPUTS))
def test_every_network_is_what_the_plan_says(network: str, workbench: Workbench) -> None:
    """Two builds have equal bits, and the data fits the network."""
    builds = [getattr(networks, network)() for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(*(build.state_dict().values() for build in builds), strict=True))
    inputs, labels = networks.data(network)
    with torch.no_grad():
        outputs = builds[0].eval()(inputs)
    classes = (networks.LENGTH, 256) if network == "characters" else (networks.CLASSES,)
    assert outputs.shape == (len(labels), *classes)
    assert len(set(labels.flatten().tolist())) > 1


QUANTIZED = """replace smaller {
  at = linear("hidden.*")
  with = int8()
}
"""


@each(entries("criteria"))
@pytest.mark.parametrize("unit", ["channels", "weights", "modules"])
def test_codes_are_not_taken_for_weights(entry: Entry, unit: str, workbench: Workbench) -> None:
    """After 8-bit storage a criterion either reads what the layer stands for, or is refused before it runs."""
    template = TEMPLATES / ("criteria.surg" if unit == "channels" else f"criteria.{unit}.surg")
    text = entry.example(template, "mlp").replace("identify chosen", f"{QUANTIZED}identify chosen")
    codes = {found.code.id for found in workbench.errors(text)}
    assert codes <= {"SD126", "SD128", "SD231", "SD306"}
    if not codes:
        assert broken(workbench, entry, text) == []


PAIRED = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.ModuleList([nn.Linear(8, 8) for _ in range(3)])
        self.act = nn.ModuleList([nn.ReLU() for _ in range(3)])

    def forward(self, x):
        for layer, act in HOW:
            x = act(layer(x))
        return x
"""

DROPPED = """surg 1

model net {
  load = python("paired:Net")
  input = x("f32", [N, 8])
}

identify late {
  in = module("hidden.*")
  unit = modules
  take = only([1])
}
excise late
"""


def test_lists_that_a_forward_pairs_are_cut_together(tmp_path: Path) -> None:
    bench = Workbench(tmp_path)
    (tmp_path / "paired.py").write_text(PAIRED.replace("HOW", "zip(self.hidden, self.act, strict=True)"))
    moment = operate(bench, DROPPED).moments[-1]
    assert {"hidden.1", "act.1"} <= moment.after.interface.module_by_path.keys()
    assert not {"hidden.2", "act.2"} & moment.after.interface.module_by_path.keys()
    assert "`act`" in moment.effect.reason


def test_a_forward_that_counts_a_list_by_itself_is_told_from_a_wrong_prediction(tmp_path: Path) -> None:
    bench = Workbench(tmp_path)
    counted = "((self.hidden[i], self.act[i]) for i in range(3))"
    (tmp_path / "paired.py").write_text(PAIRED.replace("HOW", counted), encoding="utf-8")
    assert bench.errors(DROPPED) == []
    with pytest.raises(Refused) as caught:
        operate(bench, DROPPED)
    (found,) = caught.value.diagnostics
    assert found.code.id == "SD234"
    assert found.path == "hidden"
    assert "mode = zero" in found.help
    assert operate(bench, DROPPED.replace("excise late", "excise late { mode = zero }")).moments
