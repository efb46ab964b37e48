"""``text("wiki.txt", seq = 2048)``: a plain text as rows of tokens."""

from typing import ClassVar, Literal, final

from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.vocabulary.datasets._tokens import Coder, Row, Tokens
from surgery_dsl.vocabulary.word import Card


@final
class Text(Tokens):
    """A text file in UTF-8, cut into rows of `seq` tokens; each token is to be foretold from those before it.

    Arguments:
        file: The file, relative to the plan's folder.
        seq: Tokens of a row, at least 2; 512 where it is left out.
        rows: `windows` cuts the whole text without gaps and leaves the shorter rest out; `lines` makes a row of each
            line that is not empty, cut at `seq` and padded, with the tokenizer's marks around it.
        tokenizer: A `tokenizer.json`, or the folder that holds one, relative to the plan's folder. Left out, it is the
            one beside the model's files, and where none stands there, tokens are the bytes 0 to 255.
        from: Where the part of the rows that is used begins.
        to: Where it ends.

    Runtime rule:
        `input_ids` and `attention_mask` (1 on tokens), `i64 [n, seq]`; a network with one input gets the first. Targets
        are the tokens, −100 on padding. Equal files give equal rows, everywhere.

    Source:
        Windows without overlap: Radford et al., Language models are unsupervised multitask learners, 2019, section 3.
    """

    card: ClassVar[Card] = Card(
        summary="Read a plain text as rows of tokens",
        source="Radford et al. 2019, section 3; the tokenizer.json of Hugging Face's tokenizers",
        example='text("words.txt", seq = 6)',
        near_miss='text("no_such_file.txt", seq = 6)',
        near_miss_code=trust.FILE_MISSING.id,
        needs=frozenset({"data"}),
        fixture="characters",
    )

    rows_: Literal["windows", "lines"] = "windows"

    def rows(self, text: str, coder: Coder) -> tuple[list[Row], int]:
        """Return windows or lines of tokens."""
        length = self.seq or 512
        if self.rows_ == "lines":
            lines = [line.strip() for line in text.splitlines()]
            cut = [coder.encode(line, marked=True)[:length] for line in lines if line]
            return [(tokens, tokens) for tokens in cut], length
        tokens = coder.encode(text)
        whole = [tokens[at : at + length] for at in range(0, len(tokens) - length + 1, length)]
        return [(window, window) for window in whole], length
