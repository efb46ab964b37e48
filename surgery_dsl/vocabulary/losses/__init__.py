"""Terms of a training loss (``loss = …`` of a ``recover`` block); each is a mean over the batch."""
