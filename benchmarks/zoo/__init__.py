"""Real architectures, and an oracle that says of each of their axes whether removal is exact.

``python -m benchmarks.zoo --out DIR`` runs every architecture and appends one JSON line for each to ``DIR``; what has a
line already is left out. ``python -m benchmarks.zoo.table DIR`` makes the tables of ``benchmarks/RESULTS.md``.

``architectures_hf`` and ``architectures_timm`` list the networks, ``networks`` builds them and gives them lively
weights, ``living`` computes the reference, ``oracle`` judges.
"""
