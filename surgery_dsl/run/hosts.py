"""Hosts: programs that load a network by themselves from a config and weights: ``transformers`` and timm."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import nn

from surgery_dsl.diagnostics.codes import hosts
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.interface.hosts import HostFacts
from surgery_dsl.interface.model import Interface
from surgery_dsl.run import timm_host
from surgery_dsl.run.host_facts import Build, Built, Config, facts
from surgery_dsl.run.host_view import built

EXTRA = ("head_dim",)
"""Fields that many networks read where the config has them, though its class does not name them."""
LABELS = ("id2label", "label2id")
"""Entries of a config that follow from ``num_labels``."""


def facts_of(host: str, model: nn.Module, interface: Interface, given: Mapping[str, Any] | None = None) -> HostFacts:
    """Return what the host's config of a network can say.

    Args:
        host: ``hf`` or ``timm``.
        model: The network, on any device; it is not changed.
        interface: The network as traced.
        given: The arguments that the plan gives ``timm.create_model``.

    Raises:
        Refused: The host does not build this network (SD801).
    """
    places = tuple((module.path, attribute) for module in interface.modules for attribute in module.integers)
    name = type(model).__name__
    why = timm_host.problem(model) if host == "timm" else _no_hf_network(model)
    if why:
        raise Refused(_foreign(why, host))
    try:
        if host == "timm":
            config = timm_host.plain_arguments(model, given or {})
            tried = timm_host.builder(model, given or {}, places)
            return facts(tried, config, interface, host, timm_host.architecture(model), name)
        config_class: Any = type(model.config)
        build = builder(type(model), config_class, places)
        extra = [field for field in EXTRA if field not in config_class.attribute_map]
        return facts(build, plain_config(model), interface, host, name, config_class.__name__, extra)
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
        help="write `target = none`, or let `load` build a network of that host itself",
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
