"""Codes SD4xx: files, locks, grants and weights that cannot be trusted."""

from surgery_dsl.diagnostics.code import Code, Severity
