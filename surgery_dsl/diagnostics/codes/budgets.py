"""Codes SD3xx: proofs and budgets."""

from surgery_dsl.diagnostics.code import Code, Severity
