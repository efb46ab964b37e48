"""A fault: a plan with one wrong thing in it, written beside what is right."""

import re
from dataclasses import dataclass

from tests.faults.architectures import head

EDIT = re.compile(r"<<(.*?) ~> (.*?)>>", re.DOTALL)


@dataclass(frozen=True)
class Fault:
    """A plan with one wrong thing.

    Attributes:
        name: What is wrong, unique among all faults.
        architecture: The network that the plan is for.
        plan: The plan from its model on; ``<<wrong ~> right>>`` stands for the one or the other.
        code: The finding that must come.
        says: Texts that its message, notes or help must hold: the two numbers, the names.
        path: The module or tensor that it must be about.
        at: A text of the line that it must point at, where that is not the line of the edit.
    """

    name: str
    architecture: str
    plan: str
    code: str
    says: tuple[str, ...] = ()
    path: str = ""
    at: str = ""

    @property
    def wrong(self) -> str:
        """The plan that must be refused."""
        return EDIT.sub(lambda edit: edit[1], self.plan)

    @property
    def right(self) -> str:
        """The plan that must be accepted."""
        return EDIT.sub(lambda edit: edit[2], self.plan)

    @property
    def line(self) -> int:
        """The line of the wrong plan that the finding must point at, counted from 1."""
        if self.at:
            (line,) = [number for number, text in enumerate(self.wrong.split("\n"), 1) if self.at in text]
            return line
        return self.plan[: self.plan.index("<<")].count("\n") + 1


def fault(name: str, architecture: str, steps: str, code: str, *says: str, path: str = "", at: str = "") -> Fault:
    """Return a fault in the steps of a plan for an architecture."""
    return Fault(name, architecture, f"{head(architecture)}\n{steps}", code, says, path, at)


def misbuilt(
    name: str, architecture: str, argument: str, code: str, *says: str, path: str = "", at: str = "", given: str = ""
) -> Fault:
    """Return a fault of one of ``patients.py``: what its constructor is given, or what the plan says of its input."""
    at = at or ("" if given else "input =")
    plan = head(architecture)
    if argument:
        plan = re.sub(r'(python\("[\w:]+")\)', rf"\1, {argument})", plan)
    if given:
        plan = re.sub(r"(?m)^  input = .*$", f"  input = {given}", plan)
    return Fault(name, architecture, plan, code, says, path, at)


def excise(sites: str, take: str, unit: str = "channels", *further: str, mode: str = "remove") -> str:
    """Return the steps that pick units and remove them."""
    lines = [f"in = {sites}", f"unit = {unit}", f"take = {take}", *further]
    if not any(word in take for word in ("only(", "all")) and not any("by =" in line for line in further):
        lines.insert(2, "by = magnitude()")
    return block("identify weak", *lines) + block("excise weak", f"mode = {mode}")


def replace(sites: str, transform: str, *further: str, place: str = "at") -> str:
    """Return the step that puts something in the place of sites."""
    return block("replace new", f"{place} = {sites}", f"with = {transform}", *further)


def prove(*claims: str) -> str:
    """Return a block that proves claims."""
    return block("control final", *(f"prove {claim}" for claim in claims))


def block(head_of: str, *lines: str) -> str:
    """Return a block of a plan."""
    return "\n".join([f"{head_of} {{", *(f"  {line}" for line in lines), "}", ""])
