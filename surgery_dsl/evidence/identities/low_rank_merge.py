"""Low-rank updates that are folded into their layers."""

from surgery_dsl.evidence.identities._identity import Identity

IDENTITY = Identity(
    title="low-rank merge",
    statement="(W + s · B A) x = W x + s · B (A x)",
    proof=(
        "Matrix products are distributive and associative. The sum is stored once in the dtype of the "
        "weight, which rounds each entry once."
    ),
    source='Hu et al., LoRA, ICLR 2022, section 4.1, "No additional inference latency"',
)
