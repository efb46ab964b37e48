"""The record of a search, as data: which candidates were declared, tested and accepted, on what, at which risk."""

import hashlib
from typing import Literal

from surgery_dsl.certificate.canonical import canonical
from surgery_dsl.interface.model import Data

RECORD = "search.json"


class LineResult(Data):
    """What a line with ``confidence`` came to for one candidate.

    Attributes:
        block: The control block.
        text: The line.
        status: ``passed``, ``failed`` or ``too weak``.
        count: How many examples: n.
        risk: Of the line, exact.
        bound: The bound, exact.
        limit: What it had to keep, exact.
        margin: The distance from the limit, positive where it is kept.
        items: SHA-256 of the values of the examples, where the line passed.
    """

    block: str
    text: str
    status: Literal["passed", "failed", "too weak"]
    count: int
    risk: str
    bound: str
    limit: str
    margin: str
    items: str = ""


class CandidateResult(Data):
    """What became of one candidate.

    Attributes:
        value: The value of the param.
        verdict: ``refused`` by a proof, before anything was measured; ``accepted``; ``failed`` or ``too weak`` at a
            gate; ``not tested``, for the search had ended.
        reason: Why it was not accepted.
        lines: What its lines with confidence came to, as far as it got.
    """

    value: str
    verdict: Literal["refused", "accepted", "failed", "too weak", "not tested"]
    reason: str = ""
    lines: tuple[LineResult, ...] = ()


class SearchRecord(Data):
    """How a value was chosen.

    Attributes:
        document: Says what this file is.
        format: Of the document.
        tool: Version of this program that searched.
        folder: That of the plan that was searched, relative to this file's: the files of the plan are read there,
            and known by their digests.
        search: The block.
        method: The word: ``fixed_sequence`` …
        param: The param.
        order: Its candidates, in the order of the plan.
        found: The value that was chosen.
        candidates: What became of each.
        dtype: What floating-point tensors were turned into; empty where they stayed.
        seed: What was mixed into every seed of the plan.
        data: Digests of the data sets, by name.
        structure: Digests of the networks' structure, by model.
        weights: Digests of their weights, by model.
        blocks: Digests of the plan's blocks at the value that was chosen, by kind and name; places and spelling count
            for nothing.
        digest: SHA-256 of all this without this entry and ``folder``, which a result does not tell.
    """

    document: Literal["surgery-dsl search"] = "surgery-dsl search"
    format: Literal["1"] = "1"
    tool: str
    folder: str
    search: str
    method: str
    param: str
    order: tuple[str, ...]
    found: str
    candidates: tuple[CandidateResult, ...]
    dtype: str = ""
    seed: int = 0
    data: dict[str, str]
    structure: dict[str, str]
    weights: dict[str, str]
    blocks: dict[str, str]
    digest: str = ""

    def sealed(self) -> "SearchRecord":
        """Return the record with its digest."""
        return self.replaced(digest=self.seal())

    def seal(self) -> str:
        """Return the digest that the record must bear."""
        return hashlib.sha256(canonical(self.model_dump(mode="json", exclude={"digest", "folder"}))).hexdigest()

    def written(self) -> bytes:
        """Return the record as its file."""
        return f"{self.model_dump_json(indent=1)}\n".encode()

    def accepted(self) -> CandidateResult:
        """Return the candidate that was chosen."""
        return next(one for one in self.candidates if one.value == self.found)
