"""Diagnostics as values: codes, places in a plan, and the renderers that show them.

Every other layer returns :class:`~surgery_dsl.diagnostics.diagnostic.Diagnostic` objects. Only
the renderers in this folder turn them into text or JSON, and only the command line prints.
"""
