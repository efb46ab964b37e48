"""Hosts: programs that load a network by themselves from a config and weights. One so far: ``transformers``."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import nn

from surgery_dsl.diagnostics.codes import hosts
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.interface.hosts import HostFacts
from surgery_dsl.interface.model import Interface
from surgery_dsl.run.digests import named_tensors
from surgery_dsl.run.host_facts import Build, Built, Config, facts

EXTRA = ("head_dim",)
"""Fields that many networks read where the config has them, though its class does not name them."""
LABELS = ("id2label", "label2id")
"""Entries of a config that follow from ``num_labels``."""


def facts_of(host: str, model: nn.Module, interface: Interface) -> HostFacts:
    """Return what the host's config of a network can say.

    Args:
        host: ``hf``.
        model: The network, on any device; it is not changed.
        interface: The network as traced.

    Raises:
        Refused: The host does not build this network (SD801).
    """
    if host != "hf":
        raise Refused(_foreign(f"`target = {host}` is not known to this version", host))
    problem = _no_hf_network(model)
    if problem:
        raise Refused(_foreign(problem, host))
    config = plain_config(model)
    places = tuple((module.path, attribute) for module in interface.modules for attribute in module.integers)
    config_class: Any = type(model.config)
    build = builder(type(model), config_class, places)
    extra = [name for name in EXTRA if name not in config_class.attribute_map]
    try:
        return facts(build, config, interface, host, type(model).__name__, config_class.__name__, extra)
    except ValueError as error:
        raise Refused(_foreign(f"its config does not build it again: {error}", host)) from None


def plain_config(model: Any) -> Config:
    """Return the config of a ``transformers`` network as plain data, the number of labels as a number."""
    config: Config = deepcopy(model.config.to_dict())
    if isinstance(config.get("id2label"), dict):
        config["num_labels"] = len(config["id2label"])
        for name in LABELS:
            config.pop(name, None)
    return config


def builder(network: Any, config_class: Any, places: tuple[tuple[str, str], ...]) -> Build:
    """Return what builds networks of a class from plain configs, on ``meta``."""

    def build(config: Config) -> Built | None:
        try:
            with torch.device("meta"), quiet():
                model = network(config_class.from_dict(deepcopy(config)))
        except Exception:  # noqa: BLE001 - a config that makes no sense fails in any way, and says so by that
            return None
        return built(model, places)

    return build


def built(model: nn.Module, places: tuple[tuple[str, str], ...]) -> Built:
    """Return what a network looks like."""
    saved = model.state_dict(keep_vars=True).keys()
    modules = dict(model.named_modules(remove_duplicate=False))
    integers = {}
    for path, attribute in places:
        value = _read(modules.get(path), attribute)
        if value is not None:
            integers[path, attribute] = value
    return Built(
        shapes={name: tuple(tensor.shape) for name, tensor in named_tensors(model) if name in saved},
        lists={
            path: len(module)
            for path, module in model.named_modules()
            if isinstance(module, nn.ModuleList | nn.Sequential)
        },
        integers=integers,
    )


def _read(holder: Any, attribute: str) -> int | None:
    for step in attribute.split("."):
        if isinstance(holder, list | tuple):
            holder = holder[int(step)] if step.isdecimal() and int(step) < len(holder) else None
        else:
            holder = getattr(holder, step, None)
    return holder if type(holder) is int else None


def _no_hf_network(model: nn.Module) -> str:
    try:
        import transformers
    except ImportError:
        return "the package `transformers` is not installed"
    kind = type(model)
    if not isinstance(model, transformers.PreTrainedModel):
        return f"the network is a {kind.__name__}, which is no model of `transformers`"
    if getattr(transformers, kind.__name__, None) is None:
        return f"`transformers` has no class `{kind.__name__}` that a config could name"
    return ""


def _foreign(why: str, host: str) -> Diagnostic:
    return Diagnostic(
        hosts.NOT_A_HOSTS_NETWORK,
        f"the result cannot load by `target = {host}`: {why}",
        help="write `target = none`, or let `load` build a model class of `transformers` itself",
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Quiet the logger, the bars and the warnings of ``transformers``."""
    from transformers.utils import logging as their_logging

    logging: Any = their_logging
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(50)
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
