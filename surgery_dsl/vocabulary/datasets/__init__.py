"""Where a data set comes from (``load = …`` of a ``data`` block); inputs and targets of equal length."""
