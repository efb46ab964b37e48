"""Optimizers (``optimizer = …`` of a ``recover`` block), always built after surgery, so that no state is stale."""
