"""What z3 said to the verdicts of the other tiers, as text and as JSON."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from surgery_dsl.proof.cross_check import CrossChecked


def cross_check_text(found: "CrossChecked") -> str:
    """Return one line for each verdict that z3 left open, and the summary."""
    return "\n".join([*(f"  not cross-checked: {claim}: {reason}" for claim, reason in found.gave_up), found.summary])


def cross_check_json(found: "CrossChecked") -> dict[str, Any]:
    """Return the same as data."""
    return {
        "verdicts": found.verdicts,
        "agree": found.agree,
        "gave_up": [{"claim": claim, "reason": reason} for claim, reason in found.gave_up],
        "disagree": len(found.disagreements),
        "z3": found.version,
    }
