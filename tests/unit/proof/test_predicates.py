"""``exact`` and ``frozen``: through ties, renames and schedules."""

from dataclasses import replace
from typing import Any

import pytest

from surgery_dsl.diagnostics.diagnostic import Sink
from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary import catalogue
from surgery_dsl.vocabulary.context import Effect, Static
from surgery_dsl.vocabulary.kinds import Ruling
from tests.unit.proof.builders import chain, checked, codes, finding, line_of

BASE = chain((8, 16, 12, 4))


def context(*history: tuple[str, Effect], base: Interface = BASE, **changes: Any) -> Static:
    static = Static(
        interface=base,
        base=base,
        data={},
        weights=None,
        selections={},
        effects=dict(history),
        step="",
        file="plan.surg",
        sink=Sink("plan.surg"),
        history=history,
    )
    return replace(static, **changes)


def frozen(static: Static, **arguments: Any) -> Ruling:
    ruling = catalogue.find("predicates", "frozen")(**arguments).decide(static)
    assert isinstance(ruling, Ruling)
    return ruling


def param(pattern: str) -> Any:
    return catalogue.find("sites", "param")(pattern=pattern)


def writes(*names: str, **changes: Any) -> Effect:
    return Effect(function="changing", writes=frozenset(names), **changes)


def test_nothing_is_written_where_nothing_happened() -> None:
    assert frozen(context()).holds
    assert frozen(context(("look", Effect(function="none")))).holds
    assert not frozen(context(("tune", writes("head.bias")))).holds


def test_only_the_named_tensor_counts() -> None:
    static = context(("tune", writes("head.bias")))
    assert frozen(static, what=param("head.weight")).holds
    ruling = frozen(static, what=param("head.bias"))
    assert (ruling.holds, ruling.steps, ruling.paths) == (False, ("tune",), ("head.bias",))


def test_ties_are_followed() -> None:
    tensors = tuple(t.replaced(tied_to="hidden.0.weight") if t.name == "hidden.1.weight" else t for t in BASE.tensors)
    tied = BASE.replaced(tensors=tensors)
    static = context(("tune", writes("hidden.1.weight")), base=tied)
    assert not frozen(static, what=param("hidden.0.weight")).holds


def test_renames_are_followed() -> None:
    drop = Effect(
        function="changing", renamed={"hidden.1.weight": "hidden.0.weight"}, writes=frozenset({"hidden.0.weight"})
    )
    static = context(("drop", drop), ("tune", writes("hidden.0.weight")))
    assert not frozen(static, what=param("hidden.1.weight")).holds
    assert frozen(context(("drop", drop)), what=param("hidden.1.weight")).holds


def test_what_a_step_brought_in_may_change() -> None:
    adapters = Effect(function="exact", brings=("hidden.0.adapters",), creates=frozenset({"hidden.0.adapters.w"}))
    static = context(("adapters", adapters), ("tune", writes("hidden.0.adapters.w")))
    static = replace(static, brought={"adapters": ("hidden.0.adapters",)})
    assert frozen(static, except_="adapters").holds
    assert not frozen(static, what="adapters").holds
    assert frozen(context(("adapters", adapters)), what="adapters").holds
    trained = context(("adapters", adapters), ("tune", writes("head.bias")))
    assert not frozen(trained, except_="adapters").holds


def test_what_a_step_replaced_is_excepted_and_the_rest_is_not() -> None:
    head = Effect(function="changing", brings=("head",), writes=frozenset({"head.weight", "head.bias"}))
    static = replace(context(("new", head)), brought={"new": ("head",)})
    assert frozen(static, except_="new").holds
    assert not frozen(static).holds
    later = replace(context(("new", head), ("tune", writes("hidden.0.bias"))), brought={"new": ("head",)})
    assert not frozen(later, except_="new").holds


def test_a_statement_about_nothing_does_not_hold() -> None:
    assert not frozen(context(), what=param("**"), except_=param("**")).holds


@pytest.mark.parametrize("function", ["none", "exact", "bounded", "changing"])
def test_exact_is_what_the_effects_say(function: Any) -> None:
    exact = catalogue.find("predicates", "exact")(steps=("wider",))
    static = context(("wider", Effect(function=function, reason="why")))
    ruling = exact.decide(static)
    assert ruling.holds == (function in ("none", "exact"))
    twice = context(("wider", Effect(function="exact")), ("wider", Effect(function=function)))
    assert exact.decide(twice).holds == ruling.holds


def test_a_refuted_property_points_at_its_line_and_at_the_step() -> None:
    body = (
        "recover tune {\n  data = train\n  epochs = 1\n  optimizer = sgd(lr = 0.1)\n  loss = cross_entropy\n}\n"
        'control final {\n  prove frozen(param("head.bias"))\n}\n'
    )
    report = checked(body)
    assert codes(report) == ["refuted"]
    found = finding(report, "refuted")
    assert found.span is not None
    assert found.span.line == line_of(body, "prove frozen")
    assert [label.span.line for label in found.labels] == [line_of(body, "recover tune")]
    assert found.path == "head.bias"
