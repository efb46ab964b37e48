"""The little of torchvision that timm reads at import, and of Pillow, for machines without it.

timm uses torchvision for data pipelines, its feature extractor's leaf modules and a few operators on boxes: none of it
runs in a forward of the zoo.
"""

import importlib.machinery
import importlib.util
import sys
import types
from enum import Enum
from typing import Any

from torch import nn


class InterpolationMode(Enum):
    """How images are resized."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


class FrozenBatchNorm2d(nn.Module):
    """Batch norm with fixed statistics; timm only asks whether a module is one."""


class _Anything(type):
    """The class of classes that have any public attribute: it is its own name."""

    def __getattr__(cls, name: str) -> str:
        if name.startswith("_"):
            raise AttributeError(name)
        return name


class StubModule(types.ModuleType):
    """A module in which every public name is some class."""

    def __getattr__(self, name: str) -> Any:
        """Make up a class for a name."""
        if name.startswith("__"):
            raise AttributeError(name)
        made = _Anything(name, (nn.Module,), {})
        setattr(self, name, made)
        return made


_TORCHVISION = (
    "",
    ".transforms",
    ".transforms.functional",
    ".transforms.v2",
    ".ops",
    ".ops.misc",
    ".ops.boxes",
    ".datasets",
    ".models",
    ".models.feature_extraction",
    ".io",
    ".utils",
)
_PILLOW = ("", ".Image", ".ImageOps", ".ImageEnhance", ".ImageChops", ".ImageFilter", ".ImageDraw")


def install() -> None:
    """Put stand-ins into ``sys.modules`` for what is not there."""
    if _missing("PIL"):
        made = _package("PIL", _PILLOW)
        made[""].__version__ = "10.0.0"
        for name in ("NEAREST", "BILINEAR", "BICUBIC", "LANCZOS", "BOX", "HAMMING", "AFFINE"):
            setattr(made[".Image"], name, name)
    if _missing("torchvision"):
        made = _package("torchvision", _TORCHVISION)
        made[""].__version__ = "0.0"
        made[".transforms"].InterpolationMode = InterpolationMode
        made[".transforms.functional"].InterpolationMode = InterpolationMode
        made[".ops.misc"].FrozenBatchNorm2d = FrozenBatchNorm2d
        made[".models.feature_extraction"].create_feature_extractor = _no_extractor
        made[".models.feature_extraction"].get_graph_node_names = _no_extractor


def _missing(package: str) -> bool:
    if package in sys.modules:
        return False
    return importlib.util.find_spec(package) is None


def _package(root: str, names: tuple[str, ...]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name in names:
        module = made[name] = StubModule(root + name)
        module.__path__ = []
        module.__spec__ = importlib.machinery.ModuleSpec(root + name, None, is_package=True)
        sys.modules[root + name] = module
        parent, _, last = (root + name).rpartition(".")
        if parent:
            setattr(sys.modules[parent], last, module)
    return made


def _no_extractor(*_: Any, **__: Any) -> nn.Module:
    raise RuntimeError("feature extraction needs torchvision")
