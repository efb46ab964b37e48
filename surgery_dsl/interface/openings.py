"""What the first segment of a loop begins with where the others are handed a value: a sum begins at zero.

An operator of the first segment then reads a tensor that the forward itself makes, or a number, and one value fewer
than those of the others. It counts as alike: whichever segment runs first begins in this way.
"""

from dataclasses import dataclass

from surgery_dsl.interface.draft import Run
from surgery_dsl.interface.model import Operator, Setting

Event = Operator | Run


@dataclass(frozen=True)
class Opening:
    """A tensor or number that an operator of the first segment begins with, where those of the others read a value.

    Attributes:
        value: Stands for it; nothing writes it.
        position: Where it stands among the inputs.
        setting: How the operator's settings say it: argument and ``constant``, or a number.
    """

    value: int
    position: int
    setting: tuple[str, Setting]

    def continued(self, event: Event) -> Event:
        """Return an operator as one that reads a value there."""
        if isinstance(event, Run):
            return event
        inputs = (*event.inputs[: self.position], self.value, *event.inputs[self.position :])
        return event.replaced(inputs=inputs, settings=_without(event.settings, self.setting[0]))

    def begun(self, event: Event) -> Event:
        """Return an operator that reads the value as one that begins with what it stands for."""
        if isinstance(event, Run) or self.value not in event.inputs:
            return event
        inputs = tuple(value for value in event.inputs if value != self.value)
        return event.replaced(inputs=inputs, settings=event.settings | dict([self.setting]))


def _without(settings: dict[str, Setting], name: str) -> dict[str, Setting]:
    return {key: value for key, value in settings.items() if key != name}


def may_begin(operator: Operator, value: Setting) -> bool:
    """Whether a setting may be what a sum begins with, which only the first of alike segments has."""
    return value == "constant" or (operator.kind == "add" and type(value) in (int, float) and value == 0)


def beginnings(event: Event) -> dict[str, Setting]:
    """Return the settings of an event that may be what a sum begins with."""
    if isinstance(event, Run):
        return {}
    return {name: value for name, value in event.settings.items() if may_begin(event, value)}
