"""Evidence: what live networks do on data. Pure measurements; what they are compared with is decided elsewhere.

``metrics`` are losses, accuracies and distances of functions, ``gradients`` and ``watching`` look inside a forward,
``activity`` finds silent units, ``counts`` counts what the proofs predict, ``distance`` compares weights.
"""
