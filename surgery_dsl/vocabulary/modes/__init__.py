"""Modes: what ``excise`` does with a selection.

``remove`` shrinks the network (``_channels`` along an axis, ``_modules`` along a list), ``zero`` keeps its shape.
"""
