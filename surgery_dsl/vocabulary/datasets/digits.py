"""``digits(split = "train")``: scikit-learn's handwritten digits, which need no network."""

import gzip
import importlib.util
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, final

from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.vocabulary.kinds import DataLoader
from surgery_dsl.vocabulary.values import Percent
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch

_FILE = Path("datasets") / "data" / "digits.csv.gz"


@final
class Digits(DataLoader):
    """1797 images of 8 by 8 pixels in [0, 1] (``f32``), labels 0 to 9 (``i64``).

    Arguments:
        split: ``train`` (1442 examples), ``test`` (355) or ``all``.
        flat: Whether an image is 64 numbers instead of ``[1, 8, 8]``.
        from: Where the part of the split that is used begins.
        to: Where it ends.

    Runtime rule:
        The split is fixed and stratified: within each class, in the order of the set, every fifth example is for the
        test. The file is the one that scikit-learn ships; nothing is downloaded.

    Source:
        UCI Optical Recognition of Handwritten Digits (Alpaydin and Kaynak 1998), in scikit-learn's ``load_digits``.
    """

    card: ClassVar[Card] = Card(
        summary="Use scikit-learn's digits, shipped with the package",
        source="scikit-learn, load_digits; UCI Optical Recognition of Handwritten Digits (Alpaydin and Kaynak 1998)",
        example='digits(split = "train", flat = true, from = 0%, to = 50%)',
        near_miss='digits(split = "train", from = 50%, to = 50%)',
        near_miss_code=trust.DATA_MALFORMED.id,
        fixture="digits",
    )
    positional: ClassVar[tuple[str, ...]] = ()

    split: Literal["train", "test", "all"]
    flat: bool = False
    from_: Percent | None = None
    to: Percent | None = None

    def load(self, folder: Path) -> "tuple[torch.Tensor, torch.Tensor]":
        """Return images and labels on the CPU."""
        import torch

        table = _table(_file(self))
        labels = table[:, 64].to(torch.int64)
        images = table[:, :64].to(torch.float32) / 16
        chosen = _split(labels, self.split)
        first = int(len(chosen) * self.from_.share) if self.from_ else 0
        last = int(len(chosen) * self.to.share) if self.to else len(chosen)
        if not 0 <= first < last <= len(chosen):
            raise Refused(
                Diagnostic(
                    trust.DATA_MALFORMED,
                    f"examples {first} to {last} of {len(chosen)} are none",
                    span=self.span,
                    facts={"first": first, "last": last, "count": len(chosen)},
                    help="let `to` be larger than `from`, both between 0% and 100%",
                )
            )
        chosen = chosen[first:last]
        images = images[chosen]
        return images if self.flat else images.reshape(-1, 1, 8, 8), labels[chosen]


def _file(word: Digits) -> Path:
    """Return the file that scikit-learn ships, found without importing scikit-learn, which takes a second."""
    spec = importlib.util.find_spec("sklearn")
    places = spec.submodule_search_locations if spec else None
    if not places:
        raise Refused(
            Diagnostic(
                trust.DATA_UNREADABLE,
                "scikit-learn, which brings the digits, is not installed",
                span=word.span,
                help='install it with `pip install "surgery-dsl[run]"`',
            )
        )
    return Path(places[0]) / _FILE


@cache
def _table(path: Path) -> "torch.Tensor":
    import numpy as np
    import torch

    with gzip.open(path) as file:
        return torch.from_numpy(np.loadtxt(file, delimiter=",", dtype=np.int16))


def _split(labels: "torch.Tensor", split: str) -> "torch.Tensor":
    import torch

    is_test = torch.zeros(len(labels), dtype=torch.bool)
    for label in range(10):
        is_test[(labels == label).nonzero().squeeze(1)[4::5]] = True
    if split == "all":
        return torch.arange(len(labels))
    return (is_test if split == "test" else ~is_test).nonzero().squeeze(1)
