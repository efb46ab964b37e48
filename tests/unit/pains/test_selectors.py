"""What users suffer from in selectors and silent steps: what matches nothing, or too much, or does nothing, is said."""

import pytest

from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.vocabulary.criteria.magnitude import Magnitude
from surgery_dsl.vocabulary.kinds import SiteWord
from surgery_dsl.vocabulary.sites.attention import Attention
from surgery_dsl.vocabulary.sites.experts import Experts
from surgery_dsl.vocabulary.sites.linear import Linear
from surgery_dsl.vocabulary.sites.mlp import Mlp
from surgery_dsl.vocabulary.takes.lowest import Lowest
from surgery_dsl.vocabulary.takes.only import Only
from surgery_dsl.vocabulary.units.heads import Heads
from surgery_dsl.vocabulary.units.kv_groups import KvGroups
from tests.conformance.workbench import Workbench
from tests.unit.selection.bench import block, percent, refused, selected, static, traced
from tests.unit.units import networks

INTERFACE = traced(networks.Stack(*(networks.Attention() for _ in range(12))).double(), "N", "T", 5, dtype="f64")


def finding(site: SiteWord) -> Diagnostic:
    context = static(INTERFACE)
    assert site.resolve(INTERFACE, context) == ()
    (found,) = context.sink.found
    return found


@pytest.mark.parametrize(
    ("site", "closest"),
    [
        (Linear(pattern="blocks.*.attn.query"), "`blocks.*.attn.q` (12 linear sites)"),
        (Linear(pattern="blocks.*.attn.{q,gate_proj}"), "blocks.*.attn."),
        (Attention(pattern="layers.*.attn"), "`blocks.*.attn` (12 attention sites)"),
        (Mlp(pattern="block.*.mlp"), "`blocks.*.mlp` (12 mlp sites)"),
    ],
)
def test_16_every_item_of_a_selector_matches_or_is_named(site: SiteWord, closest: str) -> None:
    found = finding(site)
    assert found.code.id == "SD120"
    assert found.facts["matched"] == 0
    assert closest in found.notes[-1]


def test_16_a_recipe_for_experts_does_not_succeed_on_a_dense_network() -> None:
    found = finding(Experts(pattern="**"))
    assert "the network has no experts at all" in found.notes


def test_17_one_is_not_ten_to_nineteen() -> None:
    sites = Attention(pattern="blocks.1.**").resolve(INTERFACE, static(INTERFACE))
    assert [site.path for site in sites] == ["blocks.1.attn"]


def test_17_what_matches_too_much_is_counted() -> None:
    step = block(Attention(pattern="blocks.1*"), unit=Heads(), take=Only(units=(0,)), expect=1)
    found = refused(INTERFACE, step)
    assert found.facts == {"matched": 3, "expected": 1}
    assert "`blocks.10.attn`" in found.notes[0]


def test_17_an_exception_that_protects_nothing_is_an_error() -> None:
    found = finding(Attention(pattern="**", except_=("blocks.12",)))
    assert found.code.id == "SD120"
    assert found.message.startswith("except:")


def test_18_layers_that_a_count_does_not_fit_are_named_before_anything_runs() -> None:
    interface = traced(
        networks.Stack(networks.Attention(6, 6), networks.Attention(6, 2)).double(), "N", "T", 5, dtype="f64"
    )
    step = block(Attention(pattern="**"), unit=KvGroups(), by=Magnitude(), take=Lowest(amount=percent(20)))
    found = refused(interface, step)
    assert (found.code.id, found.path) == ("SD222", "blocks.1.attn")
    excepted = Attention(pattern="**", except_=("blocks.1",))
    assert selected(interface, block(excepted, unit=KvGroups(), by=Magnitude(), take=Lowest(amount=percent(20))))


PLAN = """surg 1

model net {
  load = python("networks:attention")
  weights = "attention.safetensors"
  input = x("f32", [N, 6, 16])
}

identify weak {
  in = attention("blocks.*")
  unit = heads
  by = magnitude(p = 1)
  take = lowest(25%)
  EXTRA
}
excise weak
"""


@pytest.fixture(scope="module")
def workbench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return Workbench(tmp_path_factory.mktemp("pains"))


@pytest.mark.parametrize(
    ("extra", "code"), [("expcet = 2", "SD101"), ("per = layers", "SD107"), ("expect = 3", "SD121")]
)
def test_19_what_the_plan_says_is_heard_or_refused(extra: str, code: str, workbench: Workbench) -> None:
    found = workbench.findings(PLAN.replace("EXTRA", extra))
    assert [one.code.id for one in found] == [code], [one.message for one in found]
    assert found[0].help
    assert found[0].severity == "error"


def test_20_a_step_that_would_change_nothing_is_refused(workbench: Workbench) -> None:
    text = PLAN.replace("lowest(25%)", "lowest(5%)").replace("  EXTRA\n", "")
    found = workbench.findings(text)
    assert [one.code.id for one in found] == ["SD222"]
    assert "the same in 2 places" in found[0].notes[-1]
    assert "none after rounding" in found[0].message
