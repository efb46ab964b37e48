"""Codes SD5xx: what went wrong while a plan ran."""

from surgery_dsl.diagnostics.code import Code, Severity
