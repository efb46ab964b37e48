"""Sites: where in a network a step acts.

Most words match operators of one kind by path (``_paths``); ``module`` matches modules, ``param`` tensors, ``head`` the
layer that writes an output. ``attention``, ``mlp`` and ``experts`` are found by what the forward does
(``_structures``).
"""
