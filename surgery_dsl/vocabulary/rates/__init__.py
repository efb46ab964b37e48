"""Learning rates that differ between parts of a network (``lr = …`` of an optimizer)."""
