"""What an earlier step named is found again after steps that moved or removed it, or is said to be gone."""

import pytest

from tests.unit.proof.builders import checked, codes

PICK = """identify {name} {{
  in = {sites}
  unit = {unit}
  by = magnitude(p = 1)
  take = lowest(50%)
}}
"""


def pick(name: str, sites: str, unit: str = "channels") -> str:
    return PICK.format(name=name, sites=sites, unit=unit)


def test_a_selection_names_its_sites_again_after_its_units_went() -> None:
    first = pick("some", 'linear("hidden.0")') + "excise some { mode = remove }\n"
    assert codes(checked(first + pick("again", "some") + "excise again { mode = remove }\n")) == []


def test_sites_that_are_gone_are_told() -> None:
    first = 'replace less {\n  at = relu("act.0")\n  with = identity()\n}\n'
    body = pick("some", 'relu("act.0")') + first + pick("again", "some")
    assert codes(checked(body)) == ["sites-do-not-fit"]


INSERT = 'replace path {\n  around = module("act.0")\n  with = residual(gate = 0)\n}\n'


@pytest.mark.parametrize(("layer", "holds"), [("hidden.1", True), ("head", True)])
def test_frozen_speaks_of_the_tensors_that_stood_there(layer: str, holds: bool) -> None:
    """A step that inserts operators moves all later ones: a selection still means the tensors it meant."""
    body = INSERT + pick("some", f'linear("{layer}")', "weights") + "excise some { mode = zero }\n"
    report = checked(body + "control final {\n  prove frozen(except = some)\n}\n")
    assert report.verdicts[-1].status == ("proved" if holds else "refuted")
    others = {"hidden.1": "head", "head": "hidden.1"}
    refuted = checked(body + "control final {\n  prove frozen(some)\n}\n").verdicts[-1]
    assert (refuted.status, refuted.paths) == ("refuted", (f"{layer}.weight",))
    proved = f'control final {{\n  prove frozen(param("{others[layer]}.weight"))\n}}\n'
    assert checked(body + proved).verdicts[-1].status == "proved"
