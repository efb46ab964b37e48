"""Units that are put into another order."""

from surgery_dsl.evidence.identities._identity import Identity

IDENTITY = Identity(
    title="permutation",
    statement="U Pᵀ · φ(P W x + P b) = U · φ(W x + b)",
    proof=(
        "φ works on each unit alone, so it commutes with a permutation P of the units, and Pᵀ P = I. "
        "Everything that carries the units is permuted alike: layers, biases, norms, and what reads them."
    ),
    source="Hecht-Nielsen, On the algebraic structure of feedforward network weight spaces, 1990",
)
