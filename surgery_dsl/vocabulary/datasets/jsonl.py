"""``jsonl("sft.jsonl")``: examples to learn from, one JSON object a line."""

import json
from typing import Any, ClassVar, final

from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.vocabulary.datasets._tokens import IGNORED, Coder, Row, Tokens
from surgery_dsl.vocabulary.word import Card

MOST = 2048
"""Tokens of a row where the plan does not say."""


@final
class Jsonl(Tokens):
    """A file of JSON objects: `prompt` and `completion`, `messages`, or `text`; the loss counts what is to be learned.

    Arguments:
        file: The file, relative to the plan's folder.
        seq: Tokens of a row, at least 2; longer examples are cut, shorter ones padded at the end. Left out, it is the
            longest example's, at most 2048.
        tokenizer: A `tokenizer.json`, or the folder that holds one, relative to the plan's folder. Left out, it is the
            one beside the model's files, and where none stands there, tokens are the bytes 0 to 255.
        from: Where the part of the examples that is used begins.
        to: Where it ends.

    Runtime rule:
        Of `prompt` and `completion`, tokens of the completion count; of `messages` (objects with `role` and `content`),
        written `<|role|>`, a line end, the content and a line end, those of the contents whose role is `assistant`; of
        `text`, all. An end mark follows, where the tokenizer has one. Inputs are `input_ids` and `attention_mask`,
        `i64 [n, seq]`; targets are the tokens, −100 where one does not count. Equal files give equal rows.

    Source:
        Loss on completions alone: Ouyang et al., Training language models to follow instructions, NeurIPS 2022, app. C.
    """

    card: ClassVar[Card] = Card(
        summary="Read prompts and completions, one JSON object a line",
        source="Ouyang et al., NeurIPS 2022, appendix C; JSON Lines, jsonlines.org",
        example='jsonl("pairs.jsonl", seq = 6)',
        near_miss='jsonl("words.txt", seq = 6)',
        near_miss_code=trust.DATA_MALFORMED.id,
        needs=frozenset({"data"}),
        fixture="characters",
    )

    def rows(self, text: str, coder: Coder) -> tuple[list[Row], int]:
        """Return a row for each object."""
        found: list[Row] = []
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
            except ValueError:
                raise self._malformed(number, "is no JSON object") from None
            tokens: list[int] = []
            wanted: list[int] = []
            for part, counts in self._parts(number, entry):
                own = coder.encode(part)
                tokens += own
                wanted += own if counts else [IGNORED] * len(own)
            tokens += coder.end
            wanted += coder.end
            if len(tokens) < 2:
                raise self._malformed(number, "holds no text")
            found.append((tokens, wanted))
        length = self.seq or min(MOST, max((len(tokens) for tokens, _ in found), default=2))
        return [(tokens[:length], wanted[:length]) for tokens, wanted in found], length

    def _parts(self, number: int, entry: Any) -> list[tuple[str, bool]]:
        """Return the texts of an entry in order, and whether each is to be learned."""
        if isinstance(entry, dict):
            prompt, completion, text, messages = map(entry.get, ("prompt", "completion", "text", "messages"))
            if isinstance(prompt, str) and isinstance(completion, str):
                return [(prompt, False), (completion, True)]
            if isinstance(text, str):
                return [(text, True)]
            if isinstance(messages, list) and messages and all(_is_message(one) for one in messages):
                return [part for one in messages for part in _message(one)]
        raise self._malformed(number, "has neither `prompt` and `completion`, nor `messages`, nor `text`")

    def _malformed(self, line: int, why: str) -> Refused:
        return Refused(
            self.finding(
                trust.DATA_MALFORMED,
                f"line {line} of `{self.file}` {why}",
                'write one object a line, such as {"prompt": "2 + 2 =", "completion": " 4"}',
                line=line,
            )
        )


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(key), str) for key in ("role", "content"))


def _message(value: dict[str, str]) -> list[tuple[str, bool]]:
    return [(f"<|{value['role']}|>\n", False), (f"{value['content']}\n", value["role"] == "assistant")]
