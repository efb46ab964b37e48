"""Chance."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, final

from surgery_dsl.vocabulary.context import Runtime
from surgery_dsl.vocabulary.kinds import Criterion
from surgery_dsl.vocabulary.selection import Pool
from surgery_dsl.vocabulary.units._axes import ALONG_AXES
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch


@final
class Random(Criterion):
    """Score by chance: what other criteria are compared with.

    Arguments:
        seed: Seed of the generator, which also depends on the run's `--seed`.

    Static rule:
        Fits weights, channels and modules.

    Runtime rule:
        Independent uniform scores from a generator on the CPU: equal seeds give equal choices on every device.

    Source:
        The baseline of Blalock et al., "What is the state of neural network pruning?", MLSys 2020, section 3.
    """

    units: ClassVar[frozenset[str]] = frozenset({"weights", "modules"}) | ALONG_AXES
    positional = ("seed",)
    card: ClassVar[Card] = Card(
        summary="Score by chance",
        source="the baseline of Blalock et al., MLSys 2020",
        example="random(seed = 1)",
        near_miss='random(seed = "one")',
        near_miss_code="SD107",
        needs=frozenset({"seed"}),
    )

    seed: int = 1

    def scores(self, unit: str, pools: tuple[Pool, ...], runtime: Runtime) -> "Mapping[str, torch.Tensor]":
        """Return scores by pool key: of the tensor's shape for weights, else ``(pool.size,)``."""
        import torch

        generator = runtime.generator(self.seed)
        scores: dict[str, torch.Tensor] = {}
        for pool in pools:
            tensor = runtime.tensor(pool.tensor) if pool.tensor else None
            shape = (pool.size,) if tensor is None else tuple(tensor.shape)
            drawn = torch.rand(shape, generator=generator, dtype=torch.float32)
            scores[pool.key] = drawn if tensor is None else drawn.to(tensor.device)
        return scores
