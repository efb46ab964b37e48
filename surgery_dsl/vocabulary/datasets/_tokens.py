"""Tokens of texts: tokenizers of Hugging Face's format where there is one, else bytes; rows of one length."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from surgery_dsl.diagnostics.code import Code
from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.vocabulary.kinds import DataLoader
from surgery_dsl.vocabulary.values import Percent

if TYPE_CHECKING:
    import torch

    from surgery_dsl.evidence.named_inputs import Inputs

TOKENIZER = "tokenizer.json"
IGNORED = -100
Row = tuple[list[int], list[int]]
"""Tokens, and targets of the same length: the tokens, ``IGNORED`` where one does not count."""


class Tokens(DataLoader, ABC):
    """A data set of token numbers. Abstract.

    Inputs are ``input_ids`` and ``attention_mask`` (1 on tokens, 0 on padding), both ``i64 [n, T]``; a network with one
    input gets the first. Targets are the tokens, −100 on padding and where a token does not count.
    """

    tokens: ClassVar[bool] = True
    positional: ClassVar[tuple[str, ...]] = ("file",)

    file: str
    seq: Annotated[int, Field(ge=2)] | None = None
    tokenizer: str = ""
    from_: Percent | None = None
    to: Percent | None = None

    @abstractmethod
    def rows(self, text: str, coder: "Coder") -> tuple[list[Row], int]:
        """Return the rows of a file's text, each at most as long as the second: all are padded to that."""

    def load(self, folder: Path) -> "tuple[Inputs, torch.Tensor]":
        """Load the file; see :meth:`load_near`."""
        return self.load_near(folder, ())

    def load_near(self, folder: Path, near: tuple[Path, ...]) -> "tuple[Inputs, torch.Tensor]":
        """Return token numbers with their mask, and targets.

        Raises:
            Refused: The file or the tokenizer is missing or damaged, or no row comes of the text.
        """
        import torch

        from surgery_dsl.evidence.named_inputs import NamedInputs

        coder = self._coder(folder, near)
        rows, length = self.rows(self._text(folder / self.file), coder)
        first = int(len(rows) * self.from_.share) if self.from_ else 0
        last = int(len(rows) * self.to.share) if self.to else len(rows)
        if not 0 <= first < last <= len(rows):
            raise Refused(self._empty(first, last, len(rows)))
        ids = torch.full((last - first, length), coder.padding, dtype=torch.int64)
        mask, targets = torch.zeros_like(ids), torch.full_like(ids, IGNORED)
        for at, (tokens, wanted) in enumerate(rows[first:last]):
            ids[at, : len(tokens)] = torch.tensor(tokens, dtype=torch.int64)
            targets[at, : len(wanted)] = torch.tensor(wanted, dtype=torch.int64)
            mask[at, : len(tokens)] = 1
        return NamedInputs({"input_ids": ids, "attention_mask": mask}), targets

    def note(self, near: tuple[Path, ...]) -> str:
        """Say what makes tokens of the text."""
        return "" if self.tokenizer or _beside(near) else f"no {TOKENIZER} stands beside the model: tokens are bytes"

    # ---- files -------------------------------------------------------------------------------------------------

    def _text(self, path: Path) -> str:
        try:
            return path.read_text(encoding="utf-8")
        except (FileNotFoundError, IsADirectoryError):
            raise Refused(self.finding(trust.FILE_MISSING, f"the file `{self.file}` is not there", _MEND)) from None
        except (OSError, UnicodeDecodeError) as error:
            why = f"`{self.file}` cannot be read as UTF-8 text: {error}"
            raise Refused(self.finding(trust.DATA_UNREADABLE, why, "save the file as UTF-8 text")) from None

    def _coder(self, folder: Path, near: tuple[Path, ...]) -> "Coder":
        if not self.tokenizer:
            path = _beside(near)
            return Coder() if path is None else self._read(path)
        path = folder / self.tokenizer
        path = path / TOKENIZER if path.is_dir() else path
        if not path.is_file():
            raise Refused(
                self.finding(trust.FILE_MISSING, f"the tokenizer `{self.tokenizer}` is not there", _MEND)
            ) from None
        return self._read(path)

    def _read(self, path: Path) -> "Coder":
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise Refused(
                self.finding(
                    trust.DATA_UNREADABLE,
                    f"`{path.name}` needs the package `tokenizers`, which is not installed",
                    "install it with `pip install tokenizers`",
                )
            ) from None
        try:
            made = Tokenizer.from_file(str(path))
        except Exception as error:  # noqa: BLE001 - the package raises plain Exception for every damaged file
            raise Refused(
                self.finding(
                    trust.DATA_UNREADABLE,
                    f"`{path.name}` is no tokenizer: {str(error).splitlines()[0]}",
                    "name a `tokenizer.json` of Hugging Face's format",
                )
            ) from None
        made.no_truncation()
        made.no_padding()
        return Coder(made, *_marks(made, path))

    def finding(self, code: Code, message: str, help: str, **facts: Any) -> Diagnostic:
        """Return a finding at the word."""
        return Diagnostic(code, message, span=self.span, facts=facts, help=help)

    def _empty(self, first: int, last: int, count: int) -> Diagnostic:
        if count:
            text = f"rows {first} to {last} of {count} are none"
            return self.finding(trust.DATA_MALFORMED, text, "let `to` be larger than `from`", first=first, last=last)
        return self.finding(
            trust.DATA_MALFORMED, f"`{self.file}` gives no row of tokens", "give a longer text, or a smaller `seq`"
        )


@dataclass(frozen=True)
class Coder:
    """Makes token numbers of text.

    Attributes:
        made: The tokenizer; ``None`` for bytes.
        padding: Number of the token that fills rows up.
        end: Numbers of the token that ends a text; empty where the tokenizer has none.
    """

    made: Any = None
    padding: int = 0
    end: tuple[int, ...] = ()

    def encode(self, text: str, *, marked: bool = False) -> list[int]:
        """Return the tokens of a text; ``marked`` puts the tokenizer's marks around it ([CLS], <s>, …)."""
        if self.made is None:
            return list(text.encode())
        return list(self.made.encode(text, add_special_tokens=marked).ids)


def _beside(near: Sequence[Path]) -> Path | None:
    return next((path / TOKENIZER for path in near if (path / TOKENIZER).is_file()), None)


def _marks(made: Any, path: Path) -> tuple[int, tuple[int, ...]]:
    """Return the padding token and the end of a text, which stand in the file beside a tokenizer, or go by custom."""
    import json

    named: dict[str, Any] = {}
    beside = path.with_name("tokenizer_config.json")
    if beside.is_file():
        try:
            read = json.loads(beside.read_text(encoding="utf-8"))
            named = read if isinstance(read, dict) else {}
        except ValueError:
            named = {}

    def number(role: str, customs: tuple[str, ...]) -> int | None:
        entry = named.get(role)
        text = entry.get("content") if isinstance(entry, dict) else entry
        for one in (text, *customs):
            found = made.token_to_id(one) if isinstance(one, str) else None
            if found is not None:
                return int(found)
        return None

    padding = number("pad_token", ("[PAD]", "<pad>"))
    end = number("eos_token", ("</s>", "<|endoftext|>", "<|end_of_text|>"))
    return padding or 0, (end,) if end is not None else ()


_MEND = "put the file beside the plan, or mend its name"
