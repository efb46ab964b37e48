"""The language: from the text of a plan to the typed plan, and back to text.

Text goes through :mod:`~surgery_dsl.language.source` (bytes to text, size), :mod:`~surgery_dsl.language.tokens`
(text to tokens), :mod:`~surgery_dsl.language.parse` (tokens to the syntax tree of
:mod:`~surgery_dsl.language.syntax`), and :mod:`~surgery_dsl.language.lower` (tree to the plan of
:mod:`~surgery_dsl.language.plan`). :mod:`~surgery_dsl.language.format` prints a tree the one way it is printed.

The grammar is ``grammar/surgery.lark``. ``table.json`` holds the LALR tables that Lark makes of it, so that
reading a plan neither imports Lark nor builds a parser; a test keeps the two in step.
"""
