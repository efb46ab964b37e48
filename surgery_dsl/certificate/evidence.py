"""What claims rest on, so that others can compute them again without the networks.

Numbers that must be exact stand as text: fractions as ``p/q``, floats in hexadecimal (``float.hex``). Files lie in the
folder ``evidence`` of a result and are subjects of its statement.
"""

from typing import Literal

from pydantic import Field

from surgery_dsl.interface.model import Data


class SampledTerm(Data):
    """One quantity of a statistical line: its factor, and where it was read.

    Attributes:
        factor: What it is multiplied with, exact.
        quantity: The quantity as a plan writes it.
        point: The network: ``base``, ``now``, ``before(step)`` …
    """

    factor: str
    quantity: str
    point: str


class TouchedData(Data):
    """A data set that had a part in making or choosing the network.

    Attributes:
        name: The data block, with the result that it was read for where that is an earlier one.
        digest: SHA-256 of the data set.
        count: How many examples it has.
        steps: The steps that read it.
    """

    name: str
    digest: str
    count: int
    steps: tuple[str, ...]


class StatisticalEvidence(Data):
    """A bound on a mean or a rate of a population, from examples that had no part in making the network.

    Attributes:
        population: What the claim speaks of, and what is assumed of the examples.
        says: The claim in words.
        form: ``mean`` of Σ factor · quantity, or the rate at which the quantity is ``exceeded``.
        method: ``betting``, ``clopper-pearson``, or ``order statistic`` where no example exceeds the threshold.
        relation: How the mean is held against the limit.
        data: The data block.
        data_digest: SHA-256 of the data set.
        count: How many examples: n.
        distinct: How many of them differ.
        confidence: Of all statistical claims together, exact.
        joint: How many claims share the risk: k.
        risk: Of this claim: (1 − confidence) / k, exact.
        terms: The quantities.
        clip: Where losses are cut, exact; empty where none is.
        low: Least value that an example can have, exact.
        high: Greatest value that an example can have, exact.
        threshold: What an example may not exceed, where that is the form; exact.
        seed: What fixes the order of the examples: SHA-256 of the data's digest and the line.
        looks: How often the bound was asked for while examples came in.
        value: The mean, or the rate, of the examples.
        bound: The bound in the direction of the relation.
        opposite: The bound from the other side: beyond the limit, the line is known not to hold.
        bernstein: The empirical Bernstein bound beside it; empty for rates.
        limit: What the bound must keep, exact.
        items: SHA-256 of the file of values.
        file: The file: ``terms`` ``[terms, n]`` in float64, and ``rows`` ``[n]``, the digests of the examples.
        touched: All data that had a part in making or choosing the network.
    """

    kind: Literal["statistical"] = "statistical"
    population: str
    says: str
    form: Literal["mean", "exceeded"]
    method: Literal["betting", "clopper-pearson", "order statistic"]
    relation: Literal["<=", "<", ">=", ">"]
    data: str
    data_digest: str
    count: int = Field(ge=1)
    distinct: int
    confidence: str
    joint: int = Field(ge=1)
    risk: str
    terms: tuple[SampledTerm, ...]
    clip: str = ""
    low: str
    high: str
    threshold: str = ""
    seed: str
    looks: int = 1
    value: str
    bound: str
    opposite: str
    bernstein: str = ""
    limit: str
    items: str
    file: str
    touched: tuple[TouchedData, ...] = ()


class AssumedFunction(Data):
    """What a bound of deployed networks assumes of a function of the library that they run on.

    Attributes:
        function: The operator, as torch calls it.
        units: At an argument z its float32 value is at most this many times 2⁻²⁴ · max(1, |z|) from the function.
        seen: The greatest error that was seen when it was tried, in the same units.
        points: At how many arguments.
    """

    function: str
    units: int
    seen: str
    points: int


class BoundEvidence(Data):
    """How a bound over a region was found, and the files that show it.

    Numbers that were computed stand as hexadecimal floats (``float.hex``), without loss.

    Attributes:
        region: The inputs that are meant, in words.
        boxes: How many boxes the region is made of.
        dimensions: How many numbers an input has.
        claims: What is bounded, as a formula.
        method: How the bound was found.
        arithmetic: ``real``, or ``float32``: in any order of summation, rounding to nearest, no overflow.
        assumes: What is assumed besides, where functions are not rounded as a standard says.
        bound: What holds for every input of the region.
        attack: What an input that was found reaches: the bound can be no lower.
        replayed: The same at that input, through the networks' own modules in the run's dtype.
        limit: What the plan allows.
        parts: Boxes after splitting.
        seconds: Wall time.
        record: File with both networks as graphs, and what is claimed of them.
        tensors: File with the corners of the boxes, the parts, their bounds, the inputs that the attack found, and the
            constants of the graphs.
        digests: SHA-256 of these files, by name.
    """

    kind: Literal["bound"] = "bound"
    region: str
    boxes: int
    dimensions: int
    claims: str
    method: str
    arithmetic: Literal["real", "float32"]
    assumes: tuple[AssumedFunction, ...] = ()
    bound: str
    attack: str
    replayed: str = ""
    limit: str
    parts: int
    seconds: float
    record: str = ""
    tensors: str = ""
    digests: dict[str, str] = {}
