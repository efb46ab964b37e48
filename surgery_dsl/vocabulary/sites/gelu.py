"""GELU activations."""

from typing import ClassVar, final

from surgery_dsl.vocabulary.sites._paths import OperatorSites
from surgery_dsl.vocabulary.word import Card


@final
class Gelu(OperatorSites):
    """GELU activations, modules and calls, exact and approximated.

    Arguments:
        pattern: A path pattern: `*` is one segment, `**` any number of them, `{a,b}` alternatives, each of which must
            match. A call in a forward goes by `module/gelu#0`, counted from 0 within the module. Where one forward
            calls a module several times, `module#0` is the first of these calls, and the module's path means all.
        except: Patterns of paths to leave out; each must match something.

    Static rule:
        Every operator of this kind whose path matches is a site. A pattern that matches nothing is an error that names
        the closest paths.

    Source:
        Hendrycks and Gimpel, arXiv:1606.08415; torch.nn.GELU
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"gelu"})
    card: ClassVar[Card] = Card(
        summary="Match GELU activations",
        source="Hendrycks and Gimpel, arXiv:1606.08415; torch.nn.GELU",
        example='gelu("**")',
        near_miss='gelu("acts.*")',
        near_miss_code="SD120",
        fixture="gelu",
    )
