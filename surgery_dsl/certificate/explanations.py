"""What each grade and each kind of claim says, what it does not, what it takes for granted, and how it is checked.

A certificate is read by people who did not make it. Every kind that can stand in one has an entry here, which
``surgery-dsl explain`` prints.
"""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Explanation:
    """One grade or kind of claim.

    Attributes:
        says: The claim in words.
        silent: What it does not say, though one might read it so.
        assumes: What must be true besides, for it to mean anything.
        checked: What ``verify`` does with it.
    """

    says: str
    silent: str
    assumes: str
    checked: str


_PROVED_AGAIN = "`verify` proves it again from the plan and the lock in the result, and compares every number."
_WORD = "It is the word of the run: `verify` lists it as trusted"
_MODEL = "The lock describes the network: it was made by tracing it, and `apply` traced it again before it began."

GRADES = {
    "proved": Explanation(
        "It holds for every outcome that `identify` may have and for every value of the free sizes.",
        "Nothing of accuracy, and nothing of what floating-point kernels round.",
        _MODEL,
        _PROVED_AGAIN,
    ),
    "certified": Explanation(
        "A bound holds for every input of a stated region, each of them, those that nobody tried included.",
        "Nothing of inputs outside of the region, and nothing of how likely any of them is. A bound may be far above "
        "what any input reaches: the largest change that was found stands beside it.",
        "The stored graphs are those of the two networks in eval mode; real arithmetic, or the stated rounding of "
        "float32 in any order of summation.",
        "`verify` computes the bound again from the stored graphs and boxes, in one pass and without search.",
    ),
    "measured": Explanation(
        "On the stated examples, on the stated device, this number was found.",
        "Nothing of any other example: a largest change that was measured is no bound.",
        "The data set has the digest that the lock names; the machine computes as it should.",
        f"{_WORD}, unless `--reproduce` measures it again.",
    ),
    "statistical": Explanation(
        "With the stated confidence the true value for the population lies on the stated side of the limit.",
        "Nothing certain, nothing of another population, and nothing of single inputs.",
        "The examples are independent draws from that population, and none had a part in making or choosing the "
        "network. Losses are cut at the stated clip.",
        "`verify` computes the bound again from the stored values of each example, in the stored order.",
    ),
    "assumed": Explanation(
        "Other claims stand on it.",
        "That anybody checked it.",
        "Itself.",
        "`verify` lists it as trusted; nothing checks it.",
    ),
}

KINDS = {
    "bound": Explanation(
        "For every input of the region the quantity, such as the change of an output, is at most the stated value.",
        "That any input reaches it, and anything of inputs outside of the region.",
        GRADES["certified"].assumes,
        GRADES["certified"].checked,
    ),
    "budget": Explanation(
        "A count that follows from sizes (parameters, bytes, multiply-accumulates …) keeps its limit, exactly.",
        "Anything of time or of memory that is in use: fewer parameters need not be faster.",
        f"{_MODEL} The counting rules are those under `conventions`.",
        f"{_PROVED_AGAIN} One that was decided for the outcome alone stands under `measured`, and says so.",
    ),
    "contract": Explanation(
        "Inputs and outputs of the network have the shapes and dtypes that they had, or those that the plan says, for "
        "every free size.",
        "That the values are the same.",
        _MODEL,
        _PROVED_AGAIN,
    ),
    "coupling": Explanation(
        "Before a step cut, the indices that it would cut were put in another order in every tensor that carries "
        "them, and no output changed by more than rounding: these are all the places that belong together.",
        "Anything of other inputs than the one batch.",
        "A batch of inputs made for this purpose.",
        f"{_WORD}.",
    ),
    "data": Explanation(
        "What was measured speaks of the stated examples and of no others.",
        "That they are like those of your use.",
        "Nothing.",
        "`verify` compares the digests of the data sets with those in the lock.",
    ),
    "divisibility": Explanation(
        "Integers that modules keep (heads, groups, widths) are still products of whole axes, so that counts divide.",
        "That a kernel is faster for it.",
        _MODEL,
        _PROVED_AGAIN,
    ),
    "effect": Explanation(
        "A step writes the named tensors and no other.",
        "That what it writes is good.",
        "Digests taken before and after the step, which refuse the run where another tensor changed.",
        _PROVED_AGAIN,
    ),
    "exact": Explanation(
        "The network computes the same function after the step as before it, by an identity of real arithmetic.",
        "That the same bits come out: floating-point kernels round.",
        "Eval mode; the operators do what their documentation says.",
        _PROVED_AGAIN,
    ),
    "exactness": Explanation(
        "`exact` holds in real arithmetic.",
        "How far rounding moves an output.",
        "Nothing.",
        GRADES["assumed"].checked,
    ),
    "finite": Explanation(
        "The result gave neither NaN nor infinity for one batch of inputs.",
        "That it gives none for any other.",
        "A batch of inputs made for this purpose.",
        f"{_WORD}.",
    ),
    "frozen": Explanation(
        "The named tensors have the same bits at the end as at the beginning.",
        "That they have the same effect: what is around them may have changed.",
        "No step's effect names them, and digests taken by the run agree.",
        _PROVED_AGAIN,
    ),
    "host": Explanation(
        "The host's own loader builds this network: its config can say every size; when it was written, it was "
        "loaded so in a clean process and gave the same outputs.",
        "That another version of the host does.",
        "The version of the host that the run used.",
        f"The sizes are proved again from plan and lock. Of the loading: {_WORD[0].lower()}{_WORD[1:]}.",
    ),
    "magnitude": Explanation(
        "Out of core nothing compared the base with the result value by value, so ‖Δθ‖/‖θ‖ is not stated.",
        "That the change is small, or large.",
        "Nothing.",
        GRADES["assumed"].checked,
    ),
    "metric": Explanation(
        "A `measure` line of the plan kept its limit on the stated data.",
        GRADES["measured"].silent,
        GRADES["measured"].assumes,
        "`verify` compares the line with the plan and its margin with its numbers; `--reproduce` measures it again.",
    ),
    "non-empty": Explanation(
        "No step leaves a layer without units, for any outcome of `identify`.",
        "That what is left is enough.",
        _MODEL,
        _PROVED_AGAIN,
    ),
    "reload": Explanation(
        "A clean process built the network from the result alone, and it gave the same outputs, bit for bit.",
        "That it does on another machine or with another version of torch.",
        "One batch of inputs.",
        f"{_WORD}; `--reproduce` loads it once more.",
    ),
    "shapes": Explanation(
        "Every size fits every other that it meets, before and after each step, for every free size.",
        "That the network is of any use.",
        f"{_MODEL} What stands under `measured` is that the changed network was traced and is the predicted one.",
        _PROVED_AGAIN,
    ),
    "silence": Explanation(
        "So many ReLU units give 0 for every input of the region: the upper bound of what they are given is at most 0. "
        "An `identify` took no others.",
        "Anything of inputs outside of the region, and that the other units fire: they may be silent too.",
        "The stored graph is that of the network where the line stands, in eval mode; real arithmetic.",
        "`verify` computes the bounds again from the stored graph and boxes, and looks that no more units went.",
    ),
    "software": Explanation(
        "torch, Python and the user's own code do what their documentation says.",
        "Which of them does not.",
        "Nothing.",
        GRADES["assumed"].checked,
    ),
}


def explanations(name: str) -> Iterator[str]:
    """Yield what there is to say of a grade or kind, as Markdown; ``claim:`` before the name is left out."""
    wanted = name.strip().casefold().removeprefix("claim:")
    for title, table in (("grade of a claim", GRADES), ("kind of claim", KINDS)):
        if wanted in table:
            one = table[wanted]
            parts = {
                "What it says": one.says,
                "What it does not say": one.silent,
                "What it assumes": one.assumes,
                "How it is checked": one.checked,
            }
            text = "\n\n".join(f"**{head}.** {part}" for head, part in parts.items())
            yield f"# {wanted} ({title})\n\n{text}\n"


def names() -> tuple[str, ...]:
    """Return every name that is explained, as ``explain`` takes it."""
    return tuple(f"claim:{name}" for name in (*GRADES, *KINDS))
