"""Codes SD6xx: certificates and their verification."""

from surgery_dsl.diagnostics.code import Code, Severity
