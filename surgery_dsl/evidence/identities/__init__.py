"""Identities: why a step leaves the function as it was, one rule a file, by the name that transforms give it.

A rule holds in real arithmetic and in eval mode. What floating point makes of it is measured when a plan is applied.
Nothing here reads a network: the transforms' static rules say when a rule applies.
"""
