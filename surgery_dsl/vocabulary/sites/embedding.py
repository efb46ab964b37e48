"""Lookup tables."""

from typing import ClassVar, final

from surgery_dsl.vocabulary.sites._paths import OperatorSites
from surgery_dsl.vocabulary.word import Card


@final
class Embedding(OperatorSites):
    """Lookup tables: `torch.nn.Embedding`. Their units are the columns, the entries of a vector.

    Arguments:
        pattern: A path pattern: `*` is one segment, `**` any number of them, `{a,b}` alternatives, each of which must
            match. A call in a forward goes by `module/embedding#0`, counted from 0 within the module.
        except: Patterns of paths to leave out; each must match something.

    Static rule:
        Every operator of this kind whose path matches is a site. A pattern that matches nothing is an error that names
        the closest paths.

    Source:
        torch.nn.Embedding
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"embedding"})
    types: ClassVar[frozenset[str]] = frozenset({"torch.nn.Embedding"})
    card: ClassVar[Card] = Card(
        summary="Match lookup tables",
        source="torch.nn.Embedding",
        example='embedding("**")',
        near_miss='embedding("embedding.tokens")',
        near_miss_code="SD120",
        fixture="embedding",
    )
