"""What ``search`` tried and found, as text and as JSON."""

from typing import TYPE_CHECKING, Any

from surgery_dsl.cli.proof_text import number_of

if TYPE_CHECKING:
    from surgery_dsl.run.searching import Searched


def searched_text(made: "Searched") -> str:
    """Return one line for each candidate, with the bounds of its lines, and the answer."""
    lines = [str(made.checked.path)]
    for one in made.candidates:
        reason = f"   {one.reason}" if one.reason else ""
        lines.append(f"  {one.value:>8} {one.verdict:10}{reason}")
        lines += [
            f"  {'':8} {'':10}   {line.status}: {line.text}   [{number_of(line.bound)} against {number_of(line.limit)}]"
            for line in one.lines
        ]
    lines.append("")
    if made.output is None:
        return "\n".join([*lines, "nothing was found, and nothing was written"])
    return "\n".join([*lines, f"found: {made.found}; wrote {made.output}"])


def searched_json(made: "Searched") -> dict[str, Any]:
    """Return the same as data."""
    return {
        "found": made.found,
        "output": None if made.output is None else str(made.output),
        "candidates": [one.model_dump(mode="json") for one in made.candidates],
    }
