"""What a ``recover`` block may change (``train = …``); everything else stays equal bit for bit."""
