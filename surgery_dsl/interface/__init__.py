"""The axis graph: what surgery needs to know of a network, without torch and without weights.

``expression`` holds symbolic sizes, ``polynomial`` counts over axes, ``model`` the saved form
(:class:`~surgery_dsl.interface.model.Interface`), ``draft`` the rewriting of one interface into
the next, with ``fragment`` (new modules), ``links`` (what an operator joins), ``coupling`` (axes that
become one) and ``parting`` (axes that need not keep step any more), ``canonical`` the comparison of a predicted interface with a traced one, ``edits`` the
resolved changes of a network as data.
"""
