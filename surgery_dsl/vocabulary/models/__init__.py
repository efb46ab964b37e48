"""Where a model comes from (``load = …`` of a ``model`` block)."""
