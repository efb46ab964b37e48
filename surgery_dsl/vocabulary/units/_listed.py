"""Experts that are modules of a list: the parameters that are an expert's own."""

from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.modes._channels import axis_of
from surgery_dsl.vocabulary.selection import Pool


def modules_of_experts(pool: Pool, interface: Interface) -> tuple[tuple[str, ...], ...]:
    """Return the parameters of each expert of a pool that is a module of its own; nothing where none is."""
    if pool.noun != "expert" or not interface.indexed:
        return ()
    from surgery_dsl.interface.indexed import entry_parameters  # what follows loops is read only where there is one

    return entry_parameters(interface, axis_of(pool, interface))
