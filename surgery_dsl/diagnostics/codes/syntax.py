"""Codes SD0xx: the text of a plan does not read."""

from surgery_dsl.diagnostics.code import Code, Severity
