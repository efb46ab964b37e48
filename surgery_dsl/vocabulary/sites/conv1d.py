"""Convolutions over 1 dimension."""

from typing import ClassVar, final

from surgery_dsl.vocabulary.sites._paths import OperatorSites
from surgery_dsl.vocabulary.word import Card


@final
class Conv1d(OperatorSites):
    """Convolutions over 1 spatial dimension, grouped and depthwise ones included.

    Arguments:
        pattern: A path pattern: `*` is one segment, `**` any number of them, `{a,b}` alternatives, each of which must
            match. A call in a forward goes by `module/conv1d#0`, counted from 0 within the module.
        except: Patterns of paths to leave out; each must match something.

    Static rule:
        Every operator of this kind whose path matches is a site. A pattern that matches nothing is an error that names
        the closest paths.

    Source:
        torch.nn.Conv1d
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"conv1d"})
    types: ClassVar[frozenset[str]] = frozenset({"torch.nn.Conv1d"})
    card: ClassVar[Card] = Card(
        summary="Match convolutions over 1 dimension",
        source="torch.nn.Conv1d",
        example='conv1d("features.*")',
        near_miss='conv1d("feature.*")',
        near_miss_code="SD120",
        fixture="cnn1d",
    )
