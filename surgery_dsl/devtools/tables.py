"""Writes ``surgery_dsl/language/table.json`` from ``grammar/surgery.lark``, or checks that the two are in step.

``python -m surgery_dsl.devtools.tables`` writes, ``--check`` compares and exits 1 where the file is stale.
"""

import sys
from pathlib import Path

from surgery_dsl.language.table_build import build_table, to_json
from surgery_dsl.resources import read_resource

FILE = Path(__file__).parent.parent / "language" / "table.json"


def stale() -> bool:
    """Return whether the tables are not those of the grammar."""
    return FILE.read_text(encoding="utf-8") != _made()


def _made() -> str:
    return to_json(build_table(read_resource("grammar/surgery.lark")))


def main() -> None:
    """Write the tables, or check them with ``--check``."""
    if "--check" in sys.argv[1:]:
        if stale():
            sys.exit("language/table.json is stale; run python -m surgery_dsl.devtools.tables")
        return
    FILE.write_text(_made(), encoding="utf-8")


if __name__ == "__main__":
    main()
