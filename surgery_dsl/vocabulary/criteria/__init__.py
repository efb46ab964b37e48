"""Criteria: how much a unit matters; the lowest score matters least.

``_elementwise`` turns elementwise scores of weights into scores of weights, channels and modules, without storing the
former; ``_data`` runs data through the network. What data criteria take from it is computed in
``surgery_dsl.evidence``, the scores themselves in ``surgery_dsl.kernels.scores``.
"""
