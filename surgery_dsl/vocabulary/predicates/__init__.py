"""Properties that ``prove`` states without a comparison (``prove exact(wider)``)."""
