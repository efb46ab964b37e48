"""Codes SD7xx: a plan that works but says less than it seems to."""

from surgery_dsl.diagnostics.code import Code, Severity
