"""Takes: how many units of a ranking go, or which ones a finding names.

``lowest`` and ``highest`` count, ``below`` and ``above`` compare with a bound, ``only`` and ``all`` need no ranking,
``dead`` and ``redundant`` find units by themselves. ``_counting`` holds the arithmetic of rounding, floors and caps
that all of them share, in ``check`` and in ``apply``.
"""
