"""Sound bounds on what a network can do over a region of inputs, and on how far surgery can have moved it.

``graph`` reads a network as affine operators, pointwise functions and maxima (``operators``, one family a file);
``scalar`` encloses a function, ``difference`` the change of one, between two lines; ``pairing`` says which functions of
two networks belong together; ``backward`` carries linear forms from an output to the inputs; ``lengths`` bounds how
much the units of a layer can change all at once; ``analysis`` bounds every layer of a network or of a pair;
``rounding`` says what floating point may add. All of it in float64, and every bound holds in real arithmetic, the
rounding of its own computation included.

The method is CROWN (Zhang et al., NeurIPS 2018, arXiv 1811.00866) for one network, and the same with the change
δ = z′ − z carried beside the activations for two (differential bounds as in ReluDiff, ICSE 2020, and NeuroDiff, ASE
2020, here as linear forms in both).
"""
