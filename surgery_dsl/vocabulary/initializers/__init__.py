"""Initializers: what new and re-started weights hold at first."""
