"""Codes SD1xx: a name, word, pattern or unit does not mean what the plan says."""

from surgery_dsl.diagnostics.code import Code, Severity
