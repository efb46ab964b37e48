"""Normalisations."""

from typing import ClassVar, final

from surgery_dsl.interface.flow import NORMS
from surgery_dsl.vocabulary.sites._paths import OperatorSites
from surgery_dsl.vocabulary.word import Card


@final
class Norm(OperatorSites):
    """Normalisations: batch, layer, group, instance and root-mean-square norms, modules and calls.

    Arguments:
        pattern: A path pattern: `*` is one segment, `**` any number of them, `{a,b}` alternatives, each of which must
            match. A call in a forward goes by `module/layer_norm#0`, counted from 0 within the module.
        except: Patterns of paths to leave out; each must match something.

    Static rule:
        Every norm whose path matches is a site. A pattern that matches nothing is an error that names the closest
        paths.

    Source:
        Ioffe and Szegedy, ICML 2015; Ba et al., arXiv:1607.06450; Wu and He, ECCV 2018; Zhang and Sennrich, NeurIPS
        2019.
    """

    kinds: ClassVar[frozenset[str]] = NORMS
    card: ClassVar[Card] = Card(
        summary="Match normalisations",
        source="Ioffe and Szegedy, ICML 2015; Ba et al., arXiv:1607.06450",
        example='norm("features.*")',
        near_miss='norm("feature.*")',
        near_miss_code="SD120",
        fixture="cnn",
    )
