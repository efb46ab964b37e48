"""Units that are copied, and shared out among their readers."""

from surgery_dsl.evidence.identities._identity import Identity

IDENTITY = Identity(
    title="Net2Wider",
    statement="Σ_{j copies i} (u_ki / c_i) · h_i = u_ki · h_i",
    proof=(
        "Each new unit copies all that writes an old one, so that it has the old one's value for every "
        "input. A unit with c copies, itself among them, is read by weights divided by c, and c equal "
        "terms sum to the old one. Nothing else reads the units, or it would notice them: norms, means "
        "and softmax over the units are refused."
    ),
    source="Chen, Goodfellow and Shlens, Net2Net, ICLR 2016, section 2.2",
)
