"""Sets of inputs that ``certify`` speaks of."""
