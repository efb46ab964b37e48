"""What configs of transformers are set to while a model is traced.

Caches of keys and values are state between calls, no part of the network's function; and the loop over experts looks
at values (which expert has tokens), where the batched form of the same sum does not.
"""

from collections.abc import Iterable
from typing import Any

from torch import nn

_SETTINGS = {
    "use_cache": False,
    "use_mems_eval": False,
    "return_dict": True,
    "_experts_implementation_internal": "batched_mm",
    "gradient_checkpointing": False,
}
_DEPTH = 3


def quieten(modules: Iterable[nn.Module]) -> None:
    """Give the configs of modules, and the configs inside them, the settings of a trace, where they have them.

    The caller puts them back (:func:`~surgery_dsl.trace.keeping.unchanged`).
    """
    seen: set[int] = set()
    for module in modules:
        config = vars(module).get("config")
        if config is not None and not isinstance(config, nn.Module):
            _quieten(config, seen, _DEPTH)


def _quieten(config: Any, seen: set[int], depth: int) -> None:
    fields = getattr(config, "__dict__", None)
    if type(fields) is not dict or id(config) in seen or not hasattr(config, "to_dict"):
        return
    seen.add(id(config))
    for name, value in _SETTINGS.items():
        if name in fields and fields[name] != value:
            fields[name] = value
    if depth:
        for value in list(fields.values()):
            _quieten(value, seen, depth - 1)
