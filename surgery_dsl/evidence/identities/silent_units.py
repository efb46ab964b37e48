"""Units that are proved to give zero on a region."""

from surgery_dsl.evidence.identities._identity import Identity

IDENTITY = Identity(
    title="removal of units proved dead",
    statement="Σ_i u_ki · max(0, z_i) = Σ_{i kept} u_ki · max(0, z_i) where z_i ≤ 0 for every i that goes",
    proof=(
        "An upper bound of z_i over the region is at most 0, by linear bounds computed in float64 with "
        "the rounding of their own computation included; so the ReLU gives 0 for every input of the "
        "region, in every position, and readers lose zero terms. Beyond the region it claims nothing. A "
        "unit that was merely silent on data has no such bound: its removal is no identity."
    ),
    source=(
        "Zhang et al., CROWN, NeurIPS 2018, section 3 (the bounds); Serra, Kumar and Ramalingam, Lossless"
        " compression of deep neural networks, CPAIOR 2020, section 3 (the removal)"
    ),
    assumes=("inputs of the region",),
)
