"""What the loaders of transformers' and timm's models share. Packages are imported where a network is built."""

import importlib
import json
import warnings
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from surgery_dsl.diagnostics.codes import hosts, trust
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.diagnostics.span import Span

if TYPE_CHECKING:
    import torch

CONFIG = "config.json"
MAX_CONFIG = 16 << 20
DTYPES = {"float32": "f32", "float16": "f16", "bfloat16": "bf16", "float64": "f64"}
_TORCH = {short: long for long, short in DTYPES.items()}


def package(name: str, install: str, span: Span | None) -> ModuleType:
    """Import an optional package.

    Raises:
        Refused: It is not installed, or something that it needs is not.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a package says of its own imports is for its developers
            return importlib.import_module(name)
    except ImportError as error:
        absent = getattr(error, "name", None)
        why = "is not installed" if absent in (None, name) else f"does not import: it needs `{absent}`"
        raise Refused(
            Diagnostic(
                hosts.PACKAGE_MISSING,
                f"the package `{name}` {why}",
                span=span,
                facts={"needs": absent or name},
                help=f"install it with `{install}`" if absent in (None, name) else f"install `{absent}` beside it",
            )
        ) from None


def read_config(path: Path, span: Span | None) -> dict[str, Any]:
    """Read a ``config.json``.

    Raises:
        Refused: It is missing, or is not a JSON object.
    """
    try:
        if path.stat().st_size > MAX_CONFIG:
            raise Refused(_unreadable(path, f"it is larger than {MAX_CONFIG >> 20} MiB", span))
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise Refused(
            Diagnostic(
                trust.FILE_MISSING,
                f"there is no `{path.name}` in `{path.parent.name or '.'}`",
                span=span,
                help="name what `save_pretrained` wrote; paths are relative to the plan's folder",
            )
        ) from None
    except OSError as error:
        raise Refused(_unreadable(path, error.strerror or str(error), span)) from None
    except (ValueError, RecursionError):
        raise Refused(_unreadable(path, "it is not JSON", span)) from None
    if not isinstance(found, dict):
        raise Refused(_unreadable(path, "it is not a JSON object", span))
    return found


def build_transformers(
    path: Path, device: str, span: Span | None, dtype: str = "", name: str = "", initialize: bool = True
) -> "torch.nn.Module":
    """Build the architecture that a config of transformers describes, without weights and without the network.

    Args:
        path: The config.
        device: Where its tensors are made; ``meta`` for none.
        span: Where the plan names it.
        dtype: ``f32``, ``bf16`` …; empty takes the config's, else f32.
        name: The class; empty takes the config's first architecture, else the base model.
        initialize: Whether weights are drawn; without, they hold what lies in memory.

    Raises:
        Refused: The package is missing, the config is none, or the architecture is not in transformers.
    """
    import torch

    settings = read_config(path, span)
    transformers = package("transformers", 'pip install "surgery-dsl[hf]"', span)
    config = _config(transformers, settings, path, span)
    kind = _class(transformers, settings, config, name, path, span)
    given = str(settings.get("dtype") or settings.get("torch_dtype") or "float32").removeprefix("torch.")
    form = getattr(torch, _TORCH.get(dtype, given), torch.float32)
    skip = getattr(getattr(transformers, "initialization", None), "no_init_weights", None)
    try:
        with warnings.catch_warnings(), torch.device(device), nullcontext() if initialize or not skip else skip():
            warnings.simplefilter("ignore")
            model: torch.nn.Module = kind._from_config(config, dtype=form)
            if not initialize and hasattr(model, "tie_weights"):
                model.tie_weights()  # type: ignore[operator]  # a part of the initialisation that was left out
    except Exception as error:
        said = " ".join(str(error).split())[:300] or type(error).__name__
        raise Refused(_unreadable(path, f"`{kind.__name__}` cannot be built from it: {said}", span)) from error
    return model


def _config(transformers: Any, settings: Mapping[str, Any], path: Path, span: Span | None) -> Any:
    kinds = transformers.CONFIG_MAPPING
    model_type = settings.get("model_type")
    if model_type not in kinds:
        hint = get_close_matches(str(model_type), list(kinds), n=1)
        what = f"the model type `{model_type}` is not in transformers {transformers.__version__}"
        raise Refused(_unreadable(path, what, span, f"did you mean `{hint[0]}`?" if hint else _own_code(settings)))
    try:
        return kinds[model_type].from_dict(dict(settings))
    except Exception as error:
        said = " ".join(str(error).split())[:300] or type(error).__name__
        raise Refused(_unreadable(path, f"transformers does not take it: {said}", span)) from error


def _class(
    transformers: Any, settings: Mapping[str, Any], config: Any, name: str, path: Path, span: Span | None
) -> Any:
    named = settings.get("architectures")
    wanted = name or (named[0] if isinstance(named, list) and named and isinstance(named[0], str) else "")
    if not wanted:
        base = transformers.MODEL_MAPPING.get(type(config), None)
        found = base[0] if isinstance(base, tuple) else base
    else:
        found = getattr(transformers, wanted, None)
    if not isinstance(found, type) or not hasattr(found, "_from_config"):
        what = f"transformers {transformers.__version__} has no architecture `{wanted or type(config).__name__}`"
        near = get_close_matches(wanted, [n for n in dir(transformers) if n[:3] == wanted[:3]], n=1)
        raise Refused(_unreadable(path, what, span, f"did you mean `{near[0]}`?" if near else _own_code(settings)))
    return found


def _own_code(settings: Mapping[str, Any]) -> str:
    if "auto_map" in settings:
        return "it comes with code of its own, which is not run: build it with `python(…)` and grant that code"
    return "install the release of transformers that wrote it, or name the class with `class = …`"


def _unreadable(path: Path, why: str, span: Span | None, fix: str = "") -> Diagnostic:
    return Diagnostic(
        trust.CONFIG_UNREADABLE,
        f"`{path.name}` describes no network: {why}",
        span=span,
        help=fix or "name a config that `save_pretrained` wrote",
    )


def closest(name: str, known: Iterable[str]) -> str:
    """Return a help text for a name that is not there."""
    near = get_close_matches(name, list(known), n=1)
    return f"did you mean `{near[0]}`?" if near else ""
