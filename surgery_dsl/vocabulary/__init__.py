"""Every word of the language: one folder a kind (the slot that takes it), one file a word.

``word`` says what a word is, ``kinds`` what each kind must answer, ``values`` which quantities with units
a plan can write, ``selection`` what an ``identify`` means, ``context`` what static and runtime rules are given,
``catalogue`` finds words by kind and name.
"""
