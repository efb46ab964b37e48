"""How the arguments that a plan writes reach a word."""

from surgery_dsl.language.plan import Plan
from surgery_dsl.vocabulary.models.python import Python
from tests.conformance.workbench import Workbench

PLAN = """surg 1

param width {
  default = 24
}
param kind {
  default = "relu"
}
model net {
  load = python("networks:mlp"ARGUMENTS)
  input = x("f32", [N, 16])
}
"""


def loader(workbench: Workbench, arguments: str) -> Python:
    plan, found = workbench.read(PLAN.replace("ARGUMENTS", arguments))
    assert [d.message for d in found] == []
    assert plan is not None
    assert Plan.model_validate_json(plan.model_dump_json()) == plan
    load = plan.patient.load
    assert isinstance(load, Python)
    return load


def test_named_arguments_of_any_name_are_handed_on(workbench: Workbench) -> None:
    load = loader(workbench, ', width = 8, rate = 0.5, deep = true, kind = "gelu", sizes = [1, 2], arguments = 3')
    assert load.arguments == {
        "width": 8,
        "rate": 0.5,
        "deep": True,
        "kind": "gelu",
        "sizes": [1, 2],
        "arguments": 3,
    }
    assert [type(value) for value in load.arguments.values()][:2] == [int, float]


def test_params_are_put_in(workbench: Workbench) -> None:
    assert loader(workbench, ", width = width, kind = kind").arguments == {"width": 24, "kind": "relu"}


def test_what_code_cannot_be_handed_is_refused(workbench: Workbench) -> None:
    wrong = {
        ", width = 40%": "SD107",
        ", width = unknown": "SD107",
        ", width = magnitude()": "SD107",
        ", width = 8, width = 9": "SD103",
        ', "second"': "SD110",
    }
    for arguments, code in wrong.items():
        plan, found = workbench.read(PLAN.replace("ARGUMENTS", arguments))
        assert plan is None
        assert [d.code.id for d in found] == [code], arguments


def test_a_message_names_each_kind_of_block_once(workbench: Workbench) -> None:
    plan, found = workbench.read(PLAN.replace("ARGUMENTS", "") + "control c {\n  prove frozen(except = nobody)\n}\n")
    assert plan is None
    assert found[0].code.id == "SD106"
    assert found[0].message.count("`replace`") == 1
