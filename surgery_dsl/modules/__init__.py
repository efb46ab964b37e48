"""``nn.Module``s that surgeries bring into networks, one class a file.

``Bottleneck`` stands in ``bottleneck.py``: :func:`surgery_dsl.modules.build.build` finds a class by that rule, so a
new one edits no list. A class says in ``axis_integers`` which of its integer attributes follow which dimension of
which of its tensors, so that the tracer knows them. ``insertion`` lets a child run after, before or around a host.
"""
