"""How large a plan may be. A plan is read by people; these caps only keep hostile input cheap."""

BYTES = 1 << 20
"""Size of the file (1 MiB)."""
NESTING = 64
"""Brackets inside brackets."""
NODES = 140
"""Height of the tree of one value, chains such as ``a + a + …`` included."""
BLOCKS = 10_000
"""Blocks of a plan."""
TOKENS = 200_000
"""Words and signs of a plan."""
DIGITS = 40
"""Characters of one number."""
MISTAKES = 100
"""Mistakes that are reported before reading stops."""
