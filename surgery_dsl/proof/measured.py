"""``measure`` lines, as far as ``check`` can say: whether any outcome matters."""

from surgery_dsl.diagnostics.codes import budgets, lints
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.language.plan import Comparison, Obligation, Reading
from surgery_dsl.proof.gates import foregone, readings
from surgery_dsl.proof.state import State
from surgery_dsl.proof.verdict import Verdict, verdict_of


def measurement(state: State, obligation: Obligation, statement: Comparison, block: str) -> Verdict:
    """Say that a gate will be measured, or that no outcome can pass it, or fail it."""
    fate = foregone(statement)
    if fate is None:
        return verdict_of(obligation, block, "metric", "to measure", "measurement")
    ranges = "; ".join(
        dict.fromkeys(
            f"`{reading.word.name}` is {_range_text(reading)}"
            for side in (statement.left, statement.right)
            for reading in readings(side)
        )
    )
    if fate == "never":
        state.sink.say(
            Diagnostic(
                budgets.IMPOSSIBLE_GATE,
                f"no outcome can pass `{obligation.text}`",
                file=state.file,
                span=obligation.span,
                notes=(ranges,) if ranges else (),
                help="correct the limit: is it a percentage, or the relation turned round?",
            )
        )
        return verdict_of(obligation, block, "metric", "failed", "intervals", reason="no outcome can pass it")
    state.sink.say(
        Diagnostic(
            lints.VACUOUS_GATE,
            f"no outcome can fail `{obligation.text}`",
            file=state.file,
            span=obligation.span,
            notes=(ranges,) if ranges else (),
            help="set a limit that some outcome breaks, or remove the line",
        )
    )
    return verdict_of(obligation, block, "metric", "vacuous", "intervals", reason="no outcome can fail it")


def _range_text(reading: Reading) -> str:
    word = reading.word
    share = word.counts_in() == "share"

    def shown(value: float) -> str:
        return f"{value * 100:g}%" if share else f"{value:g}"

    if word.least is None and word.most is None:
        return "any number"
    if word.most is None:
        return f"at least {shown(word.least or 0)}"
    return f"from {shown(word.least or 0)} to {shown(word.most)}"
