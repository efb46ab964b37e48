"""Linear layers."""

from typing import ClassVar, final

from surgery_dsl.vocabulary.sites._paths import OperatorSites
from surgery_dsl.vocabulary.word import Card


@final
class Linear(OperatorSites):
    """Linear layers: `torch.nn.Linear`, `torch.nn.functional.linear`, and products with a weight matrix.

    Arguments:
        pattern: A path pattern: `*` is one segment, `**` any number of them, `{a,b}` alternatives, each of which must
            match. A call in a forward goes by `module/linear#0`, counted from 0 within the module.
        except: Patterns of paths to leave out; each must match something.

    Static rule:
        Every operator of this kind whose path matches is a site. A pattern that matches nothing is an error that names
        the closest paths.

    Source:
        torch.nn.Linear
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"linear"})
    types: ClassVar[frozenset[str]] = frozenset({"torch.nn.Linear"})
    card: ClassVar[Card] = Card(
        summary="Match linear layers",
        source="torch.nn.Linear",
        example='linear("hidden.*")',
        near_miss='linear("hiden.*")',
        near_miss_code="SD120",
        fixture="mlp",
    )
