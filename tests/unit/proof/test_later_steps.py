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


RANKED = """identify all_ {{
  in = linear("hidden.*")
  unit = channels
  by = magnitude(p = 1)
  take = lowest(38 -> 26)
  per = global
  floor = 8
}}
excise all_ {{ mode = remove }}
identify one {{
  in = linear("hidden.0")
  unit = channels
  by = magnitude(p = 1)
  take = {take}
}}
excise one {{ mode = remove }}
control final {{
  prove params <= {limit}
}}
"""


def worst(gone: range) -> int:
    """Return the most parameters that a ranking of 12 and then some more of the first layer leave, by all outcomes."""
    kept = [(a, b, c) for a in range(8, 17) for b in range(8, 13) for c in range(8, 11) if 38 - a - b - c == 12]
    left = [(a - k, b, c) for a, b, c in kept for k in gone if a - k >= 1]
    return max((8 * a + a) + (a * b + b) + (b * c + c) + (c * 4 + 4) for a, b, c in left)


def ranked(take: str, limit: int) -> str:
    """Return the verdict on a limit after a ranking, when one of its layers was then shortened again."""
    return checked(RANKED.format(take=take, limit=limit), widths=(8, 16, 12, 10, 4)).verdicts[-1].status


def test_a_ranking_still_holds_where_a_later_step_shortens_one_of_its_layers() -> None:
    limit = worst(range(1, 2))
    assert (ranked("lowest(1)", limit), ranked("lowest(1)", limit - 1)) == ("proved", "refuted")


def test_what_no_outcome_is_known_to_reach_is_not_refuted() -> None:
    """The second step keeps at least seven: how many it takes depends on what the ranking left."""
    take = "lowest(50%)\n  floor = 7"
    limit = worst(range(1, 4))
    assert ranked(take, limit) == "undecided"
    assert ranked(take, limit + 40) == "proved"  # without the ranking's sum some outcome would have 501
