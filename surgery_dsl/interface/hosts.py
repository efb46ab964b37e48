"""What another program's config says of a network's sizes, as data: taken once, when the lock is made. No torch.

A *field* is a number of the config (``intermediate_size``, ``text_config.hidden_size``, ``depths.2``). A *rule* says
which fields a size follows from: a sum of terms, each a coefficient times fields. It was found by building the
network on ``meta`` with fields changed one at a time and together, and holds at every one of those builds.
"""

from surgery_dsl.interface.model import Data


class HostField(Data):
    """A number of the config and its value; dots lead into nested configs and lists."""

    name: str
    value: int


class HostRule(Data):
    """Sizes that are one function of the config.

    Attributes:
        terms: What they are the sum of: a coefficient and the positions of the fields that it is multiplied by.
        divisor: What the sum is divided by, without a rest.
        sizes: Pairs of a tensor's position in the interface and one of its dimensions.
        integers: Pairs of a module's path and an attribute that holds this number.
    """

    terms: tuple[tuple[int, tuple[int, ...]], ...]
    divisor: int = 1
    sizes: tuple[tuple[int, int], ...] = ()
    integers: tuple[tuple[str, str], ...] = ()


class HostCount(Data):
    """A field that counts the entries of a list of modules: the list has ``field + offset`` of them."""

    field: int
    path: str
    offset: int = 0


class HostFacts(Data):
    """What the config of a network can say.

    Attributes:
        host: ``hf``.
        architecture: The class that the host builds.
        config: The config's class, or what the host calls the network.
        fields: Numbers that sizes follow from.
        rules: How; every dimension of every tensor stands in exactly one rule.
        counts: Lists of modules that fields count.
        per_layer: Lists of the config that hold one entry for each entry of a list of modules: name to its path.
        multiples: Pairs of fields where the second must be a multiple of the first.
        tie: The flag that says whether tensors are tied; empty where there is none.
    """

    host: str
    architecture: str
    config: str
    fields: tuple[HostField, ...] = ()
    rules: tuple[HostRule, ...] = ()
    counts: tuple[HostCount, ...] = ()
    per_layer: dict[str, str] = {}
    multiples: tuple[tuple[int, int], ...] = ()
    tie: str = ""
