"""Tier 5: z3, for what the tiers before leave open: products of free sizes mixed with floor quotients.

Questions are brought to a normal form (free sizes by position, both sides on the left), and each is asked once in the
life of the process: identical blocks are proved once. z3 runs in a child (:mod:`surgery_dsl.proof.smt.process`). A
counterexample is replayed through :func:`surgery_dsl.interface.expression.evaluate` before it is believed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from surgery_dsl.interface.expression import Expression, add, floor_divide, multiply
from surgery_dsl.proof.questions import Answer, SizeQuestion
from surgery_dsl.proof.smt import process
from surgery_dsl.proof.smt.messages import sizes_out
from surgery_dsl.proof.smt.process import LIMITS, Limits, Message
from surgery_dsl.proof.tiers.congruences import small_counterexample, smaller
from surgery_dsl.proof.tiers.normal_forms import flattened, positive_divisors

TIER = "z3"
_known: dict[SizeQuestion, Answer] = {}


def decide(questions: Sequence[SizeQuestion], limits: Limits = LIMITS) -> list[Answer]:
    """Decide relations; equal ones (up to the names of free sizes) are asked once in the life of the process."""
    canonical = [_canonical(question) for question in questions]
    answers: dict[SizeQuestion, Answer] = {}
    for normal, _ in canonical:
        known = _known.get(normal) or answers.get(normal) or small_counterexample(normal)
        if known is not None:
            answers[normal] = known
    missing = [normal for normal in dict.fromkeys(normal for normal, _ in canonical) if normal not in answers]
    if missing:
        jobs = [{"kind": "sizes", "question": sizes_out(question)} for question in missing]
        replies = process.ask(jobs, limits).messages
        answers.update((question, _read(question, reply)) for question, reply in zip(missing, replies, strict=True))
    _known.update({normal: answer for normal, answer in answers.items() if answer.status != "undecided"})
    return [_renamed(answers[normal], names) for normal, names in canonical]


def _canonical(question: SizeQuestion) -> tuple[SizeQuestion, dict[str, str]]:
    """Rename free sizes by their first occurrence and collect both sides; also return new names to old."""
    ranges = {name: (least, most) for name, least, most in question.ranges}
    left, right = question.left, question.right
    if question.relation != "divides" and positive_divisors(left, ranges) and positive_divisors(right, ranges):
        left, right = add(flattened(left), multiply(-1, flattened(right))), 0
    order = [*dict.fromkeys((*_occurring(left), *_occurring(right))), *ranges]
    new = {name: f"s{index}" for index, name in enumerate(dict.fromkeys(order))}
    triples = tuple((short, *ranges[name]) for name, short in new.items())
    return SizeQuestion(question.relation, _rename(left, new), _rename(right, new), triples), {
        short: name for name, short in new.items()
    }


def _occurring(expression: Expression) -> tuple[str, ...]:
    if isinstance(expression, int):
        return ()
    if isinstance(expression, str):
        return (expression,)
    return tuple(name for part in expression[1:] for name in _occurring(part))


def _rename(expression: Expression, names: Mapping[str, str]) -> Expression:
    if isinstance(expression, int):
        return expression
    if isinstance(expression, str):
        return names[expression]
    parts = [_rename(part, names) for part in expression[1:]]
    if expression[0] == "+":
        return add(*parts)
    return multiply(*parts) if expression[0] == "*" else floor_divide(parts[0], parts[1])


def _renamed(answer: Answer, names: Mapping[str, str]) -> Answer:
    return replace(answer, witness={names[short]: value for short, value in answer.witness.items()})


def _read(question: SizeQuestion, reply: Message) -> Answer:
    if reply["status"] == "unsat":
        return Answer("proved", TIER, reason="z3: the negation has no solution")
    if reply["status"] != "sat":
        return Answer("undecided", TIER, reason=f"z3 gave up: {reply['reason']}")
    witness = {name: int(value) for name, value in reply["witness"].items()}
    if question.holds(witness):
        raise AssertionError(f"the solver's counterexample {witness} does not break {question}")
    return Answer("refuted", TIER, witness=smaller(question, witness))
