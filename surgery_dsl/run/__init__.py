"""Executing a plan on a live network: load, identify, change, re-trace, control, write; or nothing.

``grants`` says which user code may run, ``data``, ``weights`` and ``load`` bring things in, ``lock`` makes locks,
``session`` is what runtime rules see, ``identify`` picks, ``changes`` carries out edits, ``transaction`` undoes them,
``steps`` executes one step and holds it to its prediction, ``training`` recovers, ``controls`` decides gates,
``write`` and ``report`` write the result, ``restore`` and ``reload`` bring it back, ``apply`` leads the whole.
``searching`` has it try candidates, ``resolving`` writes the plan that they lead to, ``chosen`` holds its run to them.
"""
