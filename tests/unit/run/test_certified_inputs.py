"""``certify`` over tokens and over several inputs: no input that a network takes goes beyond what is certified."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import surgery_dsl
from surgery_dsl.certificate.model import Claim
from surgery_dsl.evidence.bounds.recheck import recheck, rechecked
from surgery_dsl.run.apply import apply
from surgery_dsl.run.outcome import Outcome

NETWORK = """
import torch
from torch import nn


class Text(nn.Module):
    def __init__(self, places):
        super().__init__()
        self.table = nn.Embedding(7, 6, padding_idx=0)
        self.first = nn.Linear(6, 8)
        self.act = nn.ReLU()
        self.head = nn.Linear(8, 3)
        self.places = places

    def forward(self, ids):
        h = self.table(ids[:, :self.places]).mean(1)
        return self.head(self.act(self.first(h)))


class Several(nn.Module):
    def __init__(self, product):
        super().__init__()
        self.product = product
        self.table = nn.Embedding(4, 3)
        self.first = nn.Linear(5, 8)
        self.second = nn.Linear(3, 8)
        self.act = nn.ReLU()
        self.head = nn.Linear(8, 3)

    def forward(self, image, kind, scale, mask):
        h = self.first(image.masked_fill(mask, 0.0))
        h = h * scale if self.product else h + scale
        return self.head(self.act(h + self.second(self.table(kind))))


def text(places=3):
    return Text(places)


def several(product=False):
    return Several(product)


def sentences(count=12):
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(0, 3, (count, 3), generator=generator)
    return ids, ids[:, 0]


def rows(count=6, masked=False):
    generator = torch.Generator().manual_seed(3)
    mask = torch.zeros(count, 5, dtype=torch.bool)
    mask[:, 4] = True
    mask[0, 3] = masked
    inputs = {
        "image": torch.rand(count, 5, generator=generator),
        "kind": torch.arange(count) % 3,
        "scale": torch.full((count, 1), 0.5),
        "mask": mask,
    }
    return inputs, torch.arange(count) % 3


def images(count=6):
    return torch.linspace(0, 1, count * 5).reshape(count, 5), torch.arange(count) % 3
"""
TEXT = """\
surg 1

model net {
  load = python("network:text")
  weights = "net.safetensors"
  input = ids("i64", [N, 3])
}
data test { load = python("network:sentences") }
"""
SEVERAL = """\
surg 1

model net {
  load = python("network:several")
  weights = "net.safetensors"
  input = [image("f32", [N, 5]), kind("i64", [N]), scale("f32", [N, 1]), mask("bool", [N, 5])]
}
data test { load = python("network:rows") }
data odd { load = python("network:rows", masked = true) }
data bare { load = python("network:images") }
"""
PRODUCT = SEVERAL.replace('several")', 'several", product = true)')
INT8 = 'replace q { at = linear("first")\n with = int8(per = "channel", symmetric = true) }\n'
NARROW = """\
identify weak {
  in = embedding("table")
  unit = channels
  by = magnitude(p = 1)
  take = lowest(2)
}
excise weak { mode = remove }
"""
Certify = Callable[..., Outcome]


@pytest.fixture
def certified(tmp_path: Path) -> Certify:
    def run(head: str, steps: str, line: str, out: bool = False) -> Outcome:
        (tmp_path / "network.py").write_text(NETWORK)
        save_file(base(head).state_dict(), tmp_path / "net.safetensors")
        path = tmp_path / "plan.surg"
        path.write_text(f"{head}{steps}control final {{ certify {line} }}\n")
        return apply(path, tmp_path / "out" if out else None, allow_code=["*"], device="cpu", force=True)

    return run


def base(head: str) -> nn.Module:
    scope: dict[str, Any] = {}
    exec(NETWORK, scope)
    torch.manual_seed(7)
    places = 1 if "places = 1" in head else 5 if "places = 5" in head else 3
    network: nn.Module = scope["several"]("product" in head) if "several" in head else scope["text"](places)
    return network.eval()


def claim_of(outcome: Outcome) -> Claim:
    assert outcome.predicate is not None, [(d.code.id, d.message, d.notes) for d in outcome.diagnostics]
    (claim,) = outcome.predicate.claims.bounded
    return claim


def numbers(claim: Claim) -> tuple[float, float]:
    evidence: Any = claim.evidence
    return float.fromhex(evidence.attack), float.fromhex(evidence.bound)


def change(head: str, out: Path, *inputs: Tensor) -> float:
    new = surgery_dsl.load(out, ["*"]).double()
    with torch.no_grad():
        return float((new(*inputs) - base(head).double()(*inputs)).abs().max())


# ---- tokens ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [INT8, NARROW])
def test_every_token_at_every_place(certified: Certify, tmp_path: Path, steps: str) -> None:
    claim = claim_of(certified(TEXT, steps, "change(domain(), norm = inf) <= 1000", out=True))
    attack, bound = numbers(claim)
    every = torch.tensor(list(itertools.product(range(7), repeat=3)))
    worst = change(TEXT, tmp_path / "out", every)
    assert "for every input (343 boxes of 3 dimensions)" in claim.note  # few enough to be tried one by one
    assert worst <= bound + 1e-5 <= worst + 2e-5
    assert attack == pytest.approx(worst, abs=1e-5)
    assert recheck(tmp_path / "out", claim) == ""
    assert surgery_dsl.verify(tmp_path / "out").held


def test_a_larger_vocabulary_is_bounded_and_not_enumerated(certified: Certify, tmp_path: Path) -> None:
    head = TEXT.replace("[N, 3]", "[N, 5]").replace('"network:text"', '"network:text", places = 5')
    outcome = certified(head, INT8, "change(domain()) <= 1000", out=True)
    claim = claim_of(outcome)
    attack, bound = numbers(claim)
    assert "(1 box of 5 dimensions)" in claim.note
    torch.manual_seed(0)
    some = torch.randint(0, 7, (3000, 5))
    new, old = surgery_dsl.load(tmp_path / "out", ["*"]).double(), base(head).double()
    with torch.no_grad():
        worst = float((new(some) - old(some)).abs().max())
    assert worst <= bound
    assert 0.9 * worst <= attack + 1e-5 <= bound + 1e-5
    assert bound <= 3.5 * attack
    assert recheck(tmp_path / "out", claim) == ""


def test_tokens_of_data_and_of_a_range(certified: Certify) -> None:
    whole = numbers(claim_of(certified(TEXT, INT8, "change(domain()) <= 1000")))[1]
    seen = claim_of(certified(TEXT, INT8, "change(hull(test)) <= 1000"))
    few = claim_of(certified(TEXT, INT8, "change(domain(ids = 0..2)) <= 1000"))
    assert numbers(seen)[1] == pytest.approx(numbers(few)[1], rel=1e-12)  # every token below 3 occurs at every place
    assert numbers(few)[1] < whole
    assert "27 boxes" in seen.note
    assert "every input with `ids` from 0 to 2" in few.note


def test_a_loss_rises_by_no_more_whatever_the_tokens(certified: Certify, tmp_path: Path) -> None:
    line = "loss(domain()) <= base.loss(domain()) + 1000"
    bound = numbers(claim_of(certified(TEXT, INT8, line, out=True)))[1]
    every = torch.tensor(list(itertools.product(range(7), repeat=3)))
    new, old = surgery_dsl.load(tmp_path / "out", ["*"]).double(), base(TEXT).double()
    with torch.no_grad():
        rise = torch.log_softmax(old(every), 1) - torch.log_softmax(new(every), 1)
    assert float(rise.max()) <= bound + 1e-5


Tensors = dict[str, Tensor]


def _one_choice_less(tensors: Tensors) -> None:
    tensors["tokens"] = tensors["tokens"][1:].clone()


def _another_choice(tensors: Tensors) -> None:
    worst = int(tensors["bounds"].argmax())
    tensors["tokens"][worst] = tensors["tokens"][worst - 1]


def _no_choice(tensors: Tensors) -> None:
    tensors["tokens"] = torch.zeros_like(tensors["tokens"])


def _no_region(tensors: Tensors) -> None:
    tensors["tokens"] = tensors["tokens"].double()


def _another_witness(tensors: Tensors) -> None:
    tensors["attack.tokens"] = tensors["attack.tokens"].roll(1, 0).contiguous()


def _no_witness(tensors: Tensors) -> None:
    del tensors["attack.tokens"]


def _another_row(tensors: Tensors) -> None:
    table = next(name for name, value in tensors.items() if name.startswith("new.") and value.shape == (7, 6))
    tensors[table] = tensors[table] * 1.01


def test_tokens_that_were_changed_show_nothing(certified: Certify, tmp_path: Path) -> None:
    claim = claim_of(certified(TEXT, INT8, "change(domain(ids = 0..2)) <= 1000", out=True))
    evidence: Any = claim.evidence
    file = tmp_path / "out" / evidence.tensors
    stored = load_file(file)
    assert rechecked(tmp_path / "out", evidence.record).why == ""
    for change in (
        _one_choice_less,
        _another_choice,
        _no_choice,
        _no_region,
        _another_witness,
        _no_witness,
        _another_row,
    ):
        tensors = {name: value.clone() for name, value in stored.items()}
        change(tensors)
        save_file(tensors, file)
        try:
            why = rechecked(tmp_path / "out", evidence.record).why
        except (ValueError, RuntimeError, ArithmeticError, IndexError) as error:
            why = str(error)
        assert why, change.__name__
        assert "is not the file that was certified" in recheck(tmp_path / "out", claim)
    assert not surgery_dsl.verify(tmp_path / "out").held


# ---- several inputs --------------------------------------------------------------------------------------------------


def test_a_range_for_each_input(certified: Certify, tmp_path: Path) -> None:
    line = "change(domain(image = 0..1, kind = 0..3, scale = 2, mask = false)) <= 1000"
    claim = claim_of(certified(PRODUCT, INT8, line, out=True))  # of a constant, a product is affine
    attack, bound = numbers(claim)
    assert (
        "`image` from 0 to 1, `kind` from 0 to 3, `scale` = 2, `mask` = false (4 boxes of 6 dimensions)" in claim.note
    )
    torch.manual_seed(0)
    image = torch.rand(4000, 5, dtype=torch.float64)
    image[::2] = image[::2].round()
    kind, mask = torch.arange(4000) % 4, torch.zeros(4000, 5, dtype=torch.bool)
    scale = torch.full((4000, 1), 2.0, dtype=torch.float64)
    worst = change(PRODUCT, tmp_path / "out", image, kind, scale, mask)
    assert worst <= attack + 1e-5 <= bound + 1e-5
    assert bound <= 1.5 * attack
    assert recheck(tmp_path / "out", claim) == ""
    assert surgery_dsl.verify(tmp_path / "out").held


def test_boxes_around_examples_of_several_inputs(certified: Certify, tmp_path: Path) -> None:
    claim = claim_of(certified(SEVERAL, INT8, "change(box(test, eps = 0.1, samples = 4)) <= 1000", out=True))
    attack, bound = numbers(claim)
    scope: dict[str, Any] = {}
    exec(NETWORK, scope)
    inputs = {name: value[:4] for name, value in scope["rows"]()[0].items()}
    new, old = surgery_dsl.load(tmp_path / "out", ["*"]).double(), base(SEVERAL).double()
    torch.manual_seed(0)
    worst = 0.0
    with torch.no_grad():
        for _ in range(300):
            near = {
                name: value.double() + 0.1 * (torch.rand_like(value.double()) * 2 - 1).sign()
                if value.is_floating_point()
                else value
                for name, value in inputs.items()
            }
            worst = max(worst, float((new(**near) - old(**near)).abs().max()))
    assert worst <= attack + 1e-5 <= bound + 1e-5
    assert bound <= 1.5 * attack + 1e-5
    tensors = load_file(tmp_path / "out" / getattr(claim.evidence, "tensors", ""))
    assert tensors["box.low"].shape == (4, 1, 6)  # image and scale, side by side
    assert tensors["tokens"].sum().item() == 4  # one row for each example


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("change(domain(0, 1)) <= 5", "SD318", "`mask` is of booleans, which are no range"),
        ("change(domain(0, 1, mask = true, colour = 0..1)) <= 5", "SD318", "no input `colour`"),
        ("change(domain(image = 0..1, mask = true)) <= 5", "SD318", "nothing is said of `scale`"),
        ("change(domain(0, 1, mask = true, kind = 0.5)) <= 5", "SD318", "`kind` is of i64"),
        ("change(domain(0, 1, mask = true, scale = true)) <= 5", "SD318", "not of booleans"),
        ("change(domain(0, 1, mask = true, kind = 0..9)) <= 5", "SD512", "a token may be 9, and the table of `table`"),
        ("change(domain(image = 1..0, mask = true)) <= 5", "SD112", "runs downwards"),
        ("change(domain(image = 0, kind = 1, scale = 2, mask = true)) <= 5", "SD512", "every input has one value"),
        ("change(hull(odd)) <= 5", "SD512", "the booleans of `mask` are not the same"),
        ("change(hull(bare)) <= 5", "SD312", "gives one unnamed tensor"),
    ],
)
def test_inputs_that_are_out_of_reach(certified: Certify, line: str, code: str, says: str) -> None:
    outcome = certified(SEVERAL, INT8, line)
    errors = [found for found in outcome.diagnostics if found.severity == "error"]
    assert [found.code.id for found in errors][:1] == [code]
    assert says in errors[0].message


def test_a_product_of_two_inputs_that_vary_is_refused(certified: Certify) -> None:
    (finding,) = certified(PRODUCT, INT8, "change(domain(0, 1, mask = true)) <= 5").diagnostics
    assert finding.code.id == "SD512"
    assert "a product of two values, `mul`" in finding.message


@pytest.mark.parametrize(
    ("line", "says"),
    [("change(box(test, eps = 1)) <= 5", "no distance"), ("change(domain(0, 1)) <= 5", "no input of real numbers")],
)
def test_tokens_have_no_distance(certified: Certify, line: str, says: str) -> None:
    (finding,) = certified(TEXT, INT8, line).diagnostics
    assert finding.code.id == "SD318"
    assert says in finding.message
