"""How axes flow through operators: one file for each family, found by its being here.

A rule gets a :class:`~surgery_dsl.trace.step.Step` and returns an :class:`~surgery_dsl.trace.registry.Outcome`.
An operator without a rule freezes the axes that flow through it.

Kinds and settings of operators, as static rules must predict them (an operator that is not listed goes by ATen's
name, and its settings are the numbers, flags and words that differ from ATen's defaults):

======================================  =============================================================================
``linear``                              ``input_dim = 0`` where the weight is stored (in, out); tensors ``weight``,
                                        ``bias``; a weight computed from several tensors lists the others as
                                        ``weight.<name>``
``conv1d`` … ``conv_transpose3d``       ``stride``, ``padding``, ``dilation`` (one number a dimension), ``groups``;
                                        transposed ones also ``output_padding``
``batch_norm``, ``instance_norm``       ``eps``
``layer_norm``                          ``eps``, ``rank`` (number of dimensions that are normed)
``rms_norm``                            ``eps``, ``rank``; tensor ``weight``, or ``computed_weight`` where the scale is
                                        made from a parameter (1 + weight)
``group_norm``                          ``eps``, ``num_groups``
``gelu``                                ``approximate``
``leaky_relu``                          ``negative_slope``
``elu``, ``celu``                       ``alpha``
``softmax``, ``cat``, ``stack``         ``dim``, counted from the front
``max_pool2d``, ``avg_pool2d`` …        ``kernel_size``, ``stride``, ``padding``, ``ceil_mode``; maxima also
                                        ``dilation``, means ``count_include_pad``
``mean``, ``sum`` …                     ``dim`` (all that are reduced, ascending), ``keepdim``
``permute``                             ``dims``: the source dimension of each
``view``, ``expand``, ``relu`` …        none
======================================  =============================================================================

An argument that is a tensor which the forward makes itself stands among the settings as ``"constant"``. Operators
that hand their input on (clones, views to the same shape, dropout in eval mode) are not recorded.
"""
