"""Batch norms that are folded into the layer before them."""

from surgery_dsl.evidence.identities._identity import Identity

IDENTITY = Identity(
    title="batch norm folding",
    statement="γ · (W x + b − μ) / √(σ² + ε) + β = (s W) x + (s (b − μ) + β) with s = γ / √(σ² + ε)",
    proof=(
        "In eval mode a batch norm is affine, one factor s and one constant for each channel, and so is "
        "the layer before it; s scales the rows of W that write the channel. Padding lies before the "
        "layer, so every position of a channel is scaled alike. Nothing else reads what the layer gives. "
        "W and b are stored once in their dtype, which rounds each entry once."
    ),
    source=(
        "Jacob et al., Quantization and training of neural networks, CVPR 2018, section 3.2; Ioffe and "
        "Szegedy, Batch normalization, ICML 2015, section 3.1"
    ),
    assumes=("running statistics that no later step trains",),
)
