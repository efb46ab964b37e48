"""Convolutions over 2 dimensions."""

from typing import ClassVar, final

from surgery_dsl.vocabulary.sites._paths import OperatorSites
from surgery_dsl.vocabulary.word import Card


@final
class Conv2d(OperatorSites):
    """Convolutions over 2 spatial dimensions, grouped and depthwise ones included.

    Arguments:
        pattern: A path pattern: `*` is one segment, `**` any number of them, `{a,b}` alternatives, each of which must
            match. A call in a forward goes by `module/conv2d#0`, counted from 0 within the module.
        except: Patterns of paths to leave out; each must match something.

    Static rule:
        Every operator of this kind whose path matches is a site. A pattern that matches nothing is an error that names
        the closest paths.

    Source:
        torch.nn.Conv2d
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"conv2d"})
    types: ClassVar[frozenset[str]] = frozenset({"torch.nn.Conv2d"})
    card: ClassVar[Card] = Card(
        summary="Match convolutions over 2 dimensions",
        source="torch.nn.Conv2d",
        example='conv2d("features.*")',
        near_miss='conv2d("feature.*")',
        near_miss_code="SD120",
        fixture="cnn",
    )
