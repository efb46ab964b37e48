"""Transforms: what ``replace`` puts at, after, before or around sites.

A word says in ``transfer`` what the network becomes and in ``execute`` what is changed. ``_places`` finds the modules
that sites mean, ``_surgery`` rewrites drafts, ``_activation`` holds what activations share.
"""
