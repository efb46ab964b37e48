"""What a sample says of the population that it was drawn from: bounds that hold with a stated confidence.

Every bound assumes that the examples are independent draws from that population, and that none of them had a part in
making or choosing what is measured. ``betting`` bounds means of bounded values, ``binomial`` rates, ``largest`` how
often a maximum can be exceeded, ``bernstein`` is the closed form that anyone can check by hand, ``choice`` tests many
candidates in an order fixed before.
"""
