"""Codes SD9xx: defects of this program."""

from surgery_dsl.diagnostics.code import Code, Severity
