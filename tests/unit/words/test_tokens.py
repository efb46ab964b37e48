"""Texts as tokens: cut without gaps, masked where nothing is to be learned, equal everywhere."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.evidence.answers import Answered, answers
from surgery_dsl.evidence.named_inputs import NamedInputs, joined, main
from surgery_dsl.evidence.tokens import likelihood_of, next_token_loss
from surgery_dsl.language.read import read_plan
from surgery_dsl.proof.check import check
from surgery_dsl.run.grants import Grants
from surgery_dsl.run.lock import make_lock
from surgery_dsl.vocabulary.datasets.jsonl import Jsonl
from surgery_dsl.vocabulary.datasets.text import Text
from surgery_dsl.vocabulary.values import Percent

GRANTS = Grants(patterns=("*",))


def loaded(found: Any) -> tuple[dict[str, Tensor], Tensor]:
    inputs, targets = found
    assert isinstance(inputs, NamedInputs)
    return inputs.tensors, targets


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder


# ---- text --------------------------------------------------------------------------------------------------------


def test_bytes_are_cut_without_gaps_and_the_rest_is_left_out(tmp_path: Path) -> None:
    text = "abcdefghijk\u00e9"
    inputs, targets = loaded(Text(file="a.txt", seq=4).load(write(tmp_path, "a.txt", text)))
    whole = list(text.encode())
    assert inputs["input_ids"].tolist() == [whole[at : at + 4] for at in range(0, 12, 4)]
    assert torch.equal(inputs["input_ids"], targets)
    assert bool((inputs["attention_mask"] == 1).all())
    assert inputs["input_ids"].dtype is torch.int64


def test_lines_are_rows_with_padding_that_does_not_count(tmp_path: Path) -> None:
    write(tmp_path, "a.txt", "ab\n\n  abcdef  \n")
    inputs, targets = loaded(Text(file="a.txt", seq=4, rows_="lines").load(tmp_path))
    assert inputs["input_ids"].tolist() == [[97, 98, 0, 0], [97, 98, 99, 100]]
    assert inputs["attention_mask"].tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]
    assert targets.tolist() == [[97, 98, -100, -100], [97, 98, 99, 100]]


def test_parts_of_a_text_do_not_overlap(tmp_path: Path) -> None:
    write(tmp_path, "a.txt", "".join(chr(97 + n) for n in range(20)))
    parts = [
        loaded(Text(file="a.txt", seq=2, from_=low, to=high).load(tmp_path))[1]
        for low, high in ((None, Percent(value=80)), (Percent(value=80), None))
    ]
    assert [len(part) for part in parts] == [8, 2]
    whole = loaded(Text(file="a.txt", seq=2).load(tmp_path))[1]
    assert torch.equal(torch.cat(parts), whole)


def test_a_tokenizer_is_the_one_named_or_the_one_beside_the_model(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0, "one": 1, "two": 2, "[PAD]": 3}, "[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    model = tmp_path / "model"
    model.mkdir()
    made.save(str(model / "tokenizer.json"))
    (model / "tokenizer_config.json").write_text(json.dumps({"pad_token": "[PAD]", "eos_token": {"content": "two"}}))
    write(tmp_path, "a.txt", "one two three one")
    named = Text(file="a.txt", seq=2, tokenizer="model")
    beside = Text(file="a.txt", seq=2)
    expected = [[1, 2], [0, 1]]
    assert loaded(named.load(tmp_path))[1].tolist() == expected
    assert loaded(beside.load_near(tmp_path, (tmp_path, model)))[1].tolist() == expected
    assert beside.note((tmp_path, model)) == ""
    assert "bytes" in beside.note((tmp_path,))
    assert loaded(beside.load_near(tmp_path, (tmp_path,)))[1][0].tolist() == list(b"on")
    write(tmp_path, "a.jsonl", json.dumps({"prompt": "one", "completion": "two two"}) + "\n" + '{"text": "one"}\n')
    inputs, targets = loaded(Jsonl(file="a.jsonl", tokenizer="model/tokenizer.json").load(tmp_path))
    assert inputs["input_ids"].tolist() == [[1, 2, 2, 2], [1, 2, 3, 3]]
    assert targets.tolist() == [[-100, 2, 2, 2], [1, 2, -100, -100]]
    assert inputs["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]


@pytest.mark.parametrize(
    ("content", "word", "code"),
    [
        ("", Text(file="a.txt"), "data-malformed"),
        ("abc", Text(file="a.txt", seq=4), "data-malformed"),
        ("abc", Text(file="b.txt"), "file-missing"),
        ("abc", Text(file="a.txt", tokenizer="none.json"), "file-missing"),
        ("abc", Text(file="a.txt", tokenizer="a.txt"), "data-unreadable"),
        ("[1]", Jsonl(file="a.txt"), "data-malformed"),
        ('{"prompt": "a"}', Jsonl(file="a.txt"), "data-malformed"),
        ('{"messages": [{"role": "user"}]}', Jsonl(file="a.txt"), "data-malformed"),
        ('{"text": ""}', Jsonl(file="a.txt"), "data-malformed"),
        ('{"text": "abc"', Jsonl(file="a.txt"), "data-malformed"),
    ],
)
def test_what_is_no_text_is_refused(content: str, word: Text | Jsonl, code: str, tmp_path: Path) -> None:
    if word.tokenizer:
        pytest.importorskip("tokenizers")
    with pytest.raises(Refused) as caught:
        word.load(write(tmp_path, "a.txt", content))
    assert [found.code.name for found in caught.value.diagnostics] == [code]
    assert caught.value.diagnostics[0].help


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Refused) as caught:
        Text(file="a.txt").load(tmp_path)
    assert caught.value.diagnostics[0].code.name == "data-unreadable"


# ---- jsonl -------------------------------------------------------------------------------------------------------


def test_prompts_do_not_count(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", '{"prompt": "ab", "completion": "c"}\n\n{"prompt": "a", "completion": "bcd"}\n')
    inputs, targets = loaded(Jsonl(file="a.jsonl").load(tmp_path))
    assert inputs["input_ids"].tolist() == [[97, 98, 99, 0], [97, 98, 99, 100]]
    assert targets.tolist() == [[-100, -100, 99, -100], [-100, 98, 99, 100]]


def test_of_messages_the_assistants_count(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ok"}]
    write(tmp_path, "a.jsonl", json.dumps({"messages": messages}))
    inputs, targets = loaded(Jsonl(file="a.jsonl").load(tmp_path))
    assert bytes(inputs["input_ids"][0].tolist()).decode() == "<|user|>\nhi\n<|assistant|>\nok\n"
    assert bytes(token for token in targets[0].tolist() if token >= 0).decode() == "ok\n"


def test_long_examples_are_cut(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", '{"text": "abcdef"}\n')
    inputs, _ = loaded(Jsonl(file="a.jsonl", seq=3).load(tmp_path))
    assert inputs["input_ids"].tolist() == [[97, 98, 99]]


# ---- next_token and perplexity -----------------------------------------------------------------------------------


def test_the_loss_is_torchs_on_shifted_tokens() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(3, 5, 7, dtype=torch.float64), torch.randint(0, 7, (3, 5))
    targets[0, 3:] = -100
    wanted = F.cross_entropy(logits[:, :-1].reshape(-1, 7), targets[:, 1:].reshape(-1), ignore_index=-100)
    torch.testing.assert_close(next_token_loss(logits, targets), wanted, rtol=1e-12, atol=1e-12)


def test_transformers_computes_the_same_loss() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2, vocab_size=32
    )
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(config).eval()
    tokens = torch.randint(0, 32, (2, 6))
    labels = tokens.clone()
    labels[1, :3] = -100
    with torch.no_grad():
        found = model(input_ids=tokens, labels=labels)
    torch.testing.assert_close(next_token_loss(found.logits, labels), found.loss, rtol=1e-6, atol=1e-6)


def test_a_batch_without_anything_to_learn_has_no_loss_and_a_gradient() -> None:
    logits = torch.randn(2, 3, 4, requires_grad=True)
    loss = next_token_loss(logits, torch.full((2, 3), -100))
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert not bool(logits.grad.any())


class Table(nn.Module):
    """Logits of the next byte by the byte at hand."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(256, 256)

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.table(tokens)
        return logits


def answered(model: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> Answered:
    return answers(model, batches, lambda network, inputs: network(main(inputs)))


def test_each_token_weighs_the_same_whatever_the_batches() -> None:
    torch.manual_seed(0)
    model, tokens = Table(), torch.randint(0, 256, (5, 7))
    targets = tokens.clone()
    targets[0, 1:] = -100  # a row that counts nothing
    targets[1, 3:] = -100
    rows = model(tokens).log_softmax(-1)
    every = [
        -float(rows[i, t, targets[i, t + 1]].detach()) for i in range(5) for t in range(6) if targets[i, t + 1] >= 0
    ]
    for size in (1, 2, 5):
        batches = [(tokens[at : at + size], targets[at : at + size]) for at in range(0, 5, size)]
        found = likelihood_of(answered(model, batches), "data")
        assert found == pytest.approx(sum(every) / len(every), rel=1e-6)
    uniform = Table()
    nn.init.zeros_(uniform.table.weight)
    found = likelihood_of(answered(uniform, [(tokens, tokens)]), "data")
    assert math.exp(found) == pytest.approx(256, rel=1e-6)


def test_nothing_to_count_is_refused() -> None:
    tokens = torch.zeros(2, 3, dtype=torch.int64)
    with pytest.raises(Refused, match="counts"):
        likelihood_of(answered(Table(), [(tokens, torch.full_like(tokens, -100))]), "d")


# ---- what check says ---------------------------------------------------------------------------------------------

NETWORK = """
import torch
from torch import nn


class Model(nn.Module):
    def __init__(self, words=256):
        super().__init__()
        self.embed = nn.Embedding(words, 8)
        self.head = nn.Linear(8, words)

    def forward(self, input_ids, attention_mask=None):
        hidden = self.embed(input_ids)
        if attention_mask is not None:
            hidden = hidden * attention_mask.unsqueeze(-1)
        return {"logits": self.head(hidden), "hidden": hidden}


def build(words=256):
    torch.manual_seed(0)
    return Model(words)
"""

PLAN = """surg 1

model lm {{
  load = python("tiny:build", words = {words})
  input = {input}
}}
data words {{ load = text("a.txt", seq = 4) }}

recover tune {{
  data = words
  steps = 3
  optimizer = adamw(lr = 1e-2)
  loss = {loss}
}}
control final {{ measure perplexity(words) <= 2.0 * base.perplexity(words) }}
"""

Codes = Callable[..., list[str]]


@pytest.fixture
def codes(tmp_path: Path) -> Codes:
    write(tmp_path, "tiny.py", NETWORK)
    write(tmp_path, "a.txt", "the cat sat on the mat and that was that\n" * 3)

    def found(**values: Any) -> list[str]:
        given = {"words": 256, "input": 'input_ids("i64", [B, T])', "loss": "next_token"} | values
        text = PLAN.format(**given)
        (tmp_path / "plan.surg").write_text(text)
        plan, findings = read_plan(text, str(tmp_path / "plan.surg"))
        assert plan is not None, findings
        return [one.code.id for one in check(plan, make_lock(plan, tmp_path, GRANTS)).diagnostics]

    return found


def test_tokens_fit_the_model(codes: Codes) -> None:
    assert codes() == []
    assert codes(loss="next_token + 0.5 * distill(base, temperature = 2) + 0.1 * match(base)") == []
    assert codes(input='[input_ids("i64", [B, T]), attention_mask("i64", [B, T])]') == []


def test_tokens_beyond_the_vocabulary_are_refused(codes: Codes) -> None:
    assert "SD501" in codes(words=100)
    assert codes(words=122) == []


def test_an_input_that_the_data_does_not_give_is_refused(codes: Codes, tmp_path: Path) -> None:
    source = NETWORK.replace("attention_mask", "kind")
    (tmp_path / "tiny.py").write_text(source)
    found = codes(input='[input_ids("i64", [B, T]), kind("i64", [B, T], below = 2)]')
    assert found
    assert set(found) == {"SD313"} or all(code.startswith("SD3") for code in found)


def test_sets_with_other_inputs_cannot_be_joined() -> None:
    one = NamedInputs({"input_ids": torch.zeros(2, 3), "attention_mask": torch.ones(2, 3)})
    assert len(joined([one, one])) == 4
    other = NamedInputs({"input_ids": torch.zeros(2, 4), "attention_mask": torch.ones(2, 4)})
    with pytest.raises(ValueError, match=r"\[3\] and \[4\]"):
        joined([one, other])
    with pytest.raises(ValueError, match="different inputs"):
        joined([one, NamedInputs({"input_ids": torch.zeros(2, 3)})])


def test_distillation_over_texts_is_over_the_vocabulary(tmp_path: Path) -> None:
    from types import SimpleNamespace

    from surgery_dsl.interface.inputs import InputSpec
    from surgery_dsl.trace.capture import trace
    from surgery_dsl.vocabulary.losses.distill import Distill

    torch.manual_seed(0)
    student, teacher, tokens = Table(), Table(), torch.randint(0, 256, (2, 3))
    interface = trace(student, (InputSpec(name="tokens", dtype="i64", dims=("B", "T"), below=256),))
    runtime: Any = SimpleNamespace(
        point=lambda _: (teacher, None), outputs=lambda network, x: network(x), interface=interface
    )
    found = Distill(teacher="base", temperature=2.0).value(student(tokens), tokens, tokens, runtime)
    p, q = (F.log_softmax(one(tokens) / 2, dim=-1) for one in (teacher, student))
    wanted = 4 * F.kl_div(q.flatten(0, 1), p.flatten(0, 1), reduction="batchmean", log_target=True)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
