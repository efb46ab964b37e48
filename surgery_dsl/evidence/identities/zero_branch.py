"""Branches that start at zero."""

from surgery_dsl.evidence.identities._identity import Identity

IDENTITY = Identity(
    title="zero-initialised branch",
    statement="f(x) + 0 · g(x) = f(x)",
    proof=(
        "The last factor of the added branch (a zero weight and bias, or a gate of 0) is zero, so the "
        "branch gives 0 for every x for which g(x) is finite, and adding 0 changes nothing."
    ),
    source="Bachlechner et al., ReZero, UAI 2021, section 3; Hu et al., LoRA, ICLR 2022, section 4.1",
    assumes=("the branch's other factor is finite",),
)
