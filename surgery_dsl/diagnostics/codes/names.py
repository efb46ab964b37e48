"""Codes SD1xx: a name, word, pattern or unit does not mean what the plan says."""

from surgery_dsl.diagnostics.code import Code

# Blocks, attributes, words, references, units.
UNKNOWN_BLOCK = Code("SD100", "unknown-block", "there is no block of this kind")
UNKNOWN_ATTRIBUTE = Code("SD101", "unknown-attribute", "a block has no attribute of this name")
MISSING_ATTRIBUTE = Code("SD102", "missing-attribute", "an attribute without a default is missing")
DUPLICATE_ATTRIBUTE = Code("SD103", "duplicate-attribute", "an attribute is given twice")
DUPLICATE_NAME = Code("SD104", "duplicate-name", "two blocks have one name")
UNKNOWN_WORD = Code("SD105", "unknown-word", "the vocabulary has no such word in this slot")
UNKNOWN_REFERENCE = Code("SD106", "unknown-reference", "a name refers to no block, or to one that comes later")
WRONG_VALUE = Code("SD107", "wrong-value", "a value is not of the kind that its slot takes")
WRONG_UNIT = Code("SD108", "wrong-unit", "a number carries another unit than its slot takes")
RELATIVE_LIMIT = Code("SD109", "relative-limit", "a percentage is compared with a count; of what is it a share?")
UNKNOWN_ARGUMENT = Code("SD110", "unknown-argument", "a word has no argument of this name")
MISSING_ARGUMENT = Code("SD111", "missing-argument", "a word lacks an argument")
ARGUMENT_OUT_OF_RANGE = Code("SD112", "argument-out-of-range", "an argument lies outside the range that a word takes")
PARAM_OUT_OF_RANGE = Code("SD113", "param-out-of-range", "a param lies outside the range that the plan gives")
UNKNOWN_PARAM = Code("SD114", "unknown-param", "only a param of the plan can be set")
RESERVED_NAME = Code("SD115", "reserved-name", "a block bears a name that the language uses")
PATIENT_COUNT = Code("SD116", "patient-count", "a plan has exactly one model without a role")
NOT_A_STATEMENT = Code("SD117", "not-a-statement", "this kind of statement does not belong in this block")

# Sites, units, criteria, takes.
SELECTOR_UNMATCHED = Code("SD120", "selector-unmatched", "a pattern, or a part of it, matches nothing")
EXPECT_MISMATCH = Code("SD121", "expect-mismatch", "a step matches another number of sites than the plan expects")
MALFORMED_PATTERN = Code("SD122", "malformed-pattern", "a text is no path pattern")
MISSING_TAKE = Code("SD123", "missing-take", "nothing says how many units are taken")
MISSING_UNIT = Code("SD124", "missing-unit", "nothing says what is picked")
MISSING_CRITERION = Code("SD125", "missing-criterion", "a take ranks units, and nothing says by what")
CRITERION_DOES_NOT_FIT = Code("SD126", "criterion-does-not-fit", "a criterion cannot score what is picked")
UNIT_DOES_NOT_FIT = Code("SD127", "unit-does-not-fit", "the matched sites have no such unit")
SEVERAL_PARENTS = Code("SD128", "several-parents", "the matched modules stand in more than one parent")
INDEX_OUT_OF_RANGE = Code("SD129", "index-out-of-range", "an index names a unit that does not exist")
DUPLICATE_INDEX = Code("SD130", "duplicate-index", "an index is named twice")
EMPTY_SELECTION = Code("SD131", "empty-selection", "a list of units is empty")
SITES_DO_NOT_FIT = Code("SD132", "sites-do-not-fit", "what a step names is not a set of sites that it can pick from")
