"""Codes SD1xx: a name, word, pattern or unit does not mean what the plan says."""

from surgery_dsl.diagnostics.code import Code

# Sites, units, criteria, takes.
SELECTOR_UNMATCHED = Code("SD120", "selector-unmatched", "a pattern, or a part of it, matches nothing")
EXPECT_MISMATCH = Code("SD121", "expect-mismatch", "a step matches another number of sites than the plan expects")
MALFORMED_PATTERN = Code("SD122", "malformed-pattern", "a text is no path pattern")
MISSING_TAKE = Code("SD123", "missing-take", "nothing says how many units are taken")
MISSING_UNIT = Code("SD124", "missing-unit", "nothing says what is picked")
MISSING_CRITERION = Code("SD125", "missing-criterion", "a take ranks units, and nothing says by what")
TWO_AMOUNTS = Code("SD126", "two-amounts", "take and schedule both say how many units are taken")
CRITERION_DOES_NOT_FIT = Code("SD127", "criterion-does-not-fit", "a criterion cannot score what is picked")
UNIT_DOES_NOT_FIT = Code("SD128", "unit-does-not-fit", "the matched sites have no such unit")
SEVERAL_PARENTS = Code("SD129", "several-parents", "the matched modules stand in more than one parent")
INDEX_OUT_OF_RANGE = Code("SD130", "index-out-of-range", "an index names a unit that does not exist")
DUPLICATE_INDEX = Code("SD131", "duplicate-index", "an index is named twice")
EMPTY_SELECTION = Code("SD132", "empty-selection", "a list of units is empty")
AMOUNT_OUT_OF_RANGE = Code("SD133", "amount-out-of-range", "an amount lies outside its range")
