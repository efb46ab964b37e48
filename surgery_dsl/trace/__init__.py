"""From a module to its axis graph: run the forward once on fake tensors and follow every dimension.

``fakes`` swaps a model's tensors for fake ones and back; ``recorder`` writes down what the forward does, ``forward``
runs it; ``atoms`` and ``axes`` hold the algebra (products and sums of axes, union-find); ``rules`` say how axes flow
through each operator family, ``declared`` and ``signature`` hold those of users, ``propagate`` applies them; ``fold``
joins what torch splits; ``build`` makes the :class:`~surgery_dsl.interface.model.Interface`; ``trial`` finds sizes
that the forward holds as numbers; ``capture`` is the way in, ``refusals`` what it says where there is none.
"""
