"""Activations that are one function under two names."""

from surgery_dsl.evidence.identities._identity import Identity

IDENTITY = Identity(
    title="same function",
    statement="φ′(z) = φ(z) for every z",
    proof=(
        "Both activations have the same negative slope and keep what is positive, or are one function "
        "with the same settings."
    ),
    source="The definitions of torch.nn.functional",
)
