"""The kind of word that chooses the value of a param (folder ``searchers``), and its slot."""

from abc import ABC, abstractmethod
from typing import Annotated, ClassVar

from surgery_dsl.vocabulary.word import Slot, Word


class Searcher(Word, ABC):
    """Finds a value for params among candidates (folder ``searchers``).

    Attributes:
        says: What the method is called, in words that follow ``by``.
        stops: Whether the first candidate that does not pass ends the search.
    """

    says: ClassVar[str]
    stops: ClassVar[bool]

    @abstractmethod
    def sharing(self, candidates: int) -> int:
        """Return among how many candidates the risk of a line with ``confidence`` is divided."""


SearcherSlot = Annotated[Searcher, Slot("searchers")]
