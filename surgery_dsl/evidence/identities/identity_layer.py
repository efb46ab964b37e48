"""Layers that start as the identity."""

from surgery_dsl.evidence.identities._identity import Identity

IDENTITY = Identity(
    title="Net2Deeper",
    statement="φ(I h + 0) = φ(h) = h",
    proof=(
        "The new layer's weight is the identity and its bias zero. The activation behind it leaves h "
        "alone: it is the identity, or a ReLU or leaky ReLU of what is never negative."
    ),
    source="Chen, Goodfellow and Shlens, Net2Net, ICLR 2016, section 2.3",
)
