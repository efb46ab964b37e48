"""Modes: what ``excise`` does with a selection.

``remove`` shrinks the network (``_channels`` along an axis, ``_modules`` along a list), ``zero`` keeps its shape.
``_constants`` moves what dead channels still give into the biases of their readers, ``_notes`` says what averages over
fewer units.
"""
