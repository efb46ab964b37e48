"""Codes SD2xx: axes and shapes do not fit."""

from surgery_dsl.diagnostics.code import Code, Severity
