"""Modules that hand on what they get."""

from surgery_dsl.evidence.identities._identity import Identity

IDENTITY = Identity(
    title="idle module",
    statement="max(0, h) = h for h ≥ 0",
    proof=(
        "The module that goes is a ReLU, and what it reads is never negative: another ReLU, or a window "
        "or sum of what such a function gives."
    ),
    source="Idempotence of the positive part",
)
