"""The axis graph: what surgery needs to know of a network, without torch and without weights.

``model`` holds the saved form (:class:`~surgery_dsl.interface.model.Interface`), ``expression`` symbolic sizes and
``polynomial`` counts over axes. ``draft`` rewrites one interface into the next, with ``fragment`` (new modules as the
tracer would see them), ``links`` (which dimensions an operator joins), ``coupling`` (axes that become one) and
``parting`` (axes that become several). ``flow`` follows values from operator to operator, ``layers`` orders what is
trained, ``frozen`` names the reasons why an axis keeps its size. ``canonical`` compares a predicted interface with a
traced one. ``edits`` holds resolved changes as data, ``inputs`` what a plan says of inputs, ``lock`` the lock file,
``staleness`` whether it still fits, ``safetensors_header`` what a weights file declares.
"""
