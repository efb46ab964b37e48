"""The JSON renderer keeps everything that a diagnostic holds."""

import json

from surgery_dsl.diagnostics.code import Code, Severity
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Label
from surgery_dsl.diagnostics.fix import Fix, Replacement
from surgery_dsl.diagnostics.render_json import render_json
from surgery_dsl.diagnostics.span import Span

CODE = Code("SD301", "budget-exceeded", "a budget is exceeded", Severity.WARNING)


def test_everything_is_there() -> None:
    full = Diagnostic(
        CODE,
        "m",
        "p.surg",
        Span(1, 2, 3, 4),
        "here",
        (Label(Span(5, 6, 7, 8), "there"),),
        "features.0",
        {"least": 3, "unit": "%", "share": 0.5, "exact": True, "none": None},
        ("n",),
        "h",
        (Fix("write `9`", (Replacement(Span(3, 1, 3, 2), "9"),), "ended", loosens=True),),
    )
    assert json.loads(json.dumps(render_json([full]))) == {
        "diagnostics": [
            {
                "code": "SD301",
                "name": "budget-exceeded",
                "severity": "warning",
                "file": "p.surg",
                "line": 1,
                "column": 2,
                "end_line": 3,
                "end_column": 4,
                "path": "features.0",
                "facts": {"least": 3, "unit": "%", "share": 0.5, "exact": True, "none": None},
                "message": "m",
                "label": "here",
                "notes": ["n"],
                "help": "h",
                "fixes": [
                    {
                        "title": "write `9`",
                        "file": "p.surg",
                        "verified": "ended",
                        "loosens": True,
                        "replacements": [{"line": 3, "column": 1, "end_line": 3, "end_column": 2, "text": "9"}],
                    }
                ],
                "labels": [{"line": 5, "column": 6, "end_line": 7, "end_column": 8, "text": "there"}],
            }
        ]
    }


def test_a_finding_without_a_place() -> None:
    (bare,) = render_json([Diagnostic(CODE, "m")])["diagnostics"]
    assert [bare[key] for key in ("line", "column", "end_line", "end_column")] == [None] * 4
    assert (bare["file"], bare["path"], bare["labels"], bare["notes"]) == ("", "", (), ())
