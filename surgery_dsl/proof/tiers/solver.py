"""Tier 5: z3, for what the tiers before leave open: products of free sizes mixed with floor quotients.

The solver runs in a child process (``python -m surgery_dsl.proof.tiers.solver``, JSON in and out), because limits
within a process are not always kept. What decides is ``rlimit``, which counts work and is the same on every machine;
the wall and memory limits only stop a child that went astray. To prove a relation, its negation must have no
solution. A solution is made small (the bound on all sizes is halved while solutions remain) and replayed through
:func:`surgery_dsl.interface.expression.evaluate` before it is believed. z3's integer ``/`` is Euclidean; with a
positive divisor, which is asserted, it is floor division.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from surgery_dsl.interface.expression import Expression, from_json
from surgery_dsl.proof.questions import Answer, SizeQuestion
from surgery_dsl.proof.tiers.congruences import small_counterexample, smaller

TIER = "z3"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one child may use: work units and seconds a query, seconds in all, and bytes."""

    rlimit: int = 20_000_000
    query_seconds: float = 2.0
    wall_seconds: float = 10.0
    memory_bytes: int = 2 << 30


LIMITS = Limits()
_known: dict[SizeQuestion, Answer] = {}


def sizes(question: SizeQuestion) -> Answer:
    """Decide one relation; always answers."""
    return decide([question])[0]


def decide(questions: Sequence[SizeQuestion], limits: Limits = LIMITS) -> list[Answer]:
    """Decide relations; equal ones (up to the names of free sizes) are asked once in the life of the process."""
    canonical = [_canonical(question) for question in questions]
    answers: dict[SizeQuestion, Answer] = {}
    for normal, _ in canonical:
        known = _known.get(normal) or small_counterexample(normal)
        if known is not None:
            answers[normal] = known
    missing = [normal for normal in dict.fromkeys(normal for normal, _ in canonical) if normal not in answers]
    if missing:
        answers.update(zip(missing, _ask(missing, limits), strict=True))
    _known.update({normal: answer for normal, answer in answers.items() if answer.status != "undecided"})
    return [_renamed(answers[normal], names) for normal, names in canonical]


def _canonical(question: SizeQuestion) -> tuple[SizeQuestion, dict[str, str]]:
    """Rename free sizes by position; also return new names to old."""
    new = {name: f"s{index}" for index, (name, _, _) in enumerate(question.ranges)}
    ranges = tuple((new[name], least, most) for name, least, most in question.ranges)
    normal = replace(question, left=_rename(question.left, new), right=_rename(question.right, new), ranges=ranges)
    return normal, {short: name for name, short in new.items()}


def _rename(expression: Expression, names: Mapping[str, str]) -> Expression:
    if isinstance(expression, int):
        return expression
    if isinstance(expression, str):
        return names[expression]
    return (expression[0], *(_rename(part, names) for part in expression[1:]))


def _renamed(answer: Answer, names: Mapping[str, str]) -> Answer:
    return replace(answer, witness={names[short]: value for short, value in answer.witness.items()})


# ---- the parent --------------------------------------------------------------------------------------------------


def _ask(questions: list[SizeQuestion], limits: Limits) -> list[Answer]:
    import os
    import subprocess
    from pathlib import Path

    root = str(Path(__file__).resolve().parents[3])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    request = {
        "rlimit": limits.rlimit,
        "milliseconds": int(limits.query_seconds * 1000),
        "memory_bytes": limits.memory_bytes,
        "questions": [[q.relation, q.left, q.right, q.ranges] for q in questions],
    }
    try:
        done = subprocess.run(
            [sys.executable, "-m", "surgery_dsl.proof.tiers.solver"],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=limits.wall_seconds,
            env={**os.environ, "PYTHONPATH": path},
            check=False,
        )
    except subprocess.TimeoutExpired:
        return [_gave_up(f"the solver was stopped after {limits.wall_seconds:g} s")] * len(questions)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return [_gave_up(f"the solver ended with code {done.returncode}: {last[:200]}")] * len(questions)
    return [_read(question, item) for question, item in zip(questions, json.loads(done.stdout), strict=True)]


def _gave_up(reason: str) -> Answer:
    return Answer("undecided", TIER, reason=reason)


def _read(question: SizeQuestion, item: Mapping[str, Any]) -> Answer:
    if item["status"] == "unsat":
        return Answer("proved", TIER, reason="z3: the negation has no solution")
    if item["status"] != "sat":
        return _gave_up(f"z3 gave up: {item['reason']}")
    witness = {name: int(value) for name, value in item["witness"].items()}
    if question.holds(witness):
        raise AssertionError(f"the solver's counterexample {witness} does not break {question}")
    return Answer("refuted", TIER, witness=smaller(question, witness))


# ---- the child ---------------------------------------------------------------------------------------------------


def _limit_memory(memory_bytes: int) -> None:
    try:
        import resource
    except ImportError:  # not on this platform: z3's own limit remains
        return
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def _solve(question: SizeQuestion, rlimit: int, milliseconds: int) -> dict[str, Any]:
    """Ask z3 for sizes that break the relation, and for small ones."""
    import z3

    solver = z3.Solver()
    solver.set("timeout", milliseconds)
    variables = {name: z3.Int(name) for name, _, _ in question.ranges}
    for name, least, most in question.ranges:
        solver.add(variables[name] >= least)
        if most is not None:
            solver.add(variables[name] <= most)
    divisors: list[Any] = []

    def quotient(numerator: Any, divisor: Any) -> Any:
        divisors.append(divisor)
        result = z3.Int(f"quotient{len(divisors)}")
        fits = z3.And(divisor * result <= numerator, numerator < divisor * result + divisor)
        solver.add(z3.Implies(divisor >= 1, fits))
        return result

    def translate(expression: Expression) -> Any:
        if isinstance(expression, int):
            return z3.IntVal(expression)
        if isinstance(expression, str):
            return variables[expression]
        parts = [translate(part) for part in expression[1:]]
        if expression[0] == "+":
            return z3.Sum(parts)
        return z3.Product(parts) if expression[0] == "*" else quotient(parts[0], parts[1])

    left, right = translate(question.left), translate(question.right)
    if question.relation == "equal":
        broken = left != right
    elif question.relation == "at_least":
        broken = left < right
    else:
        broken = left * quotient(right, left) != right
    solver.add(z3.Or(broken, *(divisor < 1 for divisor in divisors)))
    solver.set("rlimit", rlimit)
    found = solver.check()
    if found != z3.sat:
        return {"status": str(found), "reason": solver.reason_unknown() if found == z3.unknown else ""}
    witness = _values(solver.model(), variables)
    while max(witness.values(), default=1) > 1:
        solver.push()
        solver.add(*(v <= (max(witness.values()) + 1) // 2 for v in variables.values()))
        again = solver.check()
        if again == z3.sat:
            witness = _values(solver.model(), variables)
        solver.pop()
        if again != z3.sat:
            break
    return {"status": "sat", "witness": witness}


def _values(model: Any, variables: Mapping[str, Any]) -> dict[str, int]:
    return {name: model.eval(variable, model_completion=True).as_long() for name, variable in variables.items()}


def main() -> None:
    """Read questions from standard input and write answers to standard output."""
    request = json.load(sys.stdin)
    _limit_memory(request["memory_bytes"])
    import z3

    z3.set_param("memory_max_size", request["memory_bytes"] >> 20)
    answers = []
    for relation, left, right, ranges in request["questions"]:
        triples = tuple((name, least, most) for name, least, most in ranges)
        question = SizeQuestion(relation, from_json(left), from_json(right), triples)
        answers.append(_solve(question, request["rlimit"], request["milliseconds"]))
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
