"""All faults, by family: a module of this folder that has a table."""

from tests.faults import budgets, built, data, groups, heads, names, widths
from tests.faults.fault import Fault

FAMILIES: dict[str, tuple[Fault, ...]] = {
    "heads": heads.FAULTS,
    "widths": widths.FAULTS,
    "groups, experts, ties and layers": groups.FAULTS,
    "names and units": names.FAULTS,
    "budgets": budgets.FAULTS,
    "networks": built.FAULTS,
    "data and training": data.FAULTS,
}
EVERY: tuple[Fault, ...] = tuple(fault for family in FAMILIES.values() for fault in family)
