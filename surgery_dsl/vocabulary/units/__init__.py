"""Units: what is picked at a site, and which of them are ranked together.

A unit turns sites into pools. ``_axes`` finds the axis that a site's output units lie along, and translates between
channels as a plan counts them and indices of that axis. ``_heads`` finds the attentions that a site means: heads,
key/value groups and experts are axes too, found by what the forward does (``interface.attention``,
``interface.experts``), never by names.
"""
