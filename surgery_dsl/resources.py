"""Files that ship beside the code: the grammar and the JSON Schemas.

In a checkout they stand at the top of the repository, where people read them; a wheel carries them in
``surgery_dsl/_data``. Nothing outside these two places is ever read.
"""

from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


@cache
def data_root() -> Path:
    """Return the folder that holds ``grammar/`` and ``specs/``.

    Raises:
        FileNotFoundError: The installation is incomplete.
    """
    for root in (_PACKAGE / "_data", _PACKAGE.parent):
        if (root / "grammar" / "surgery.lark").is_file():
            return root
    raise FileNotFoundError("grammar/surgery.lark is missing: the installation of surgery-dsl is incomplete")


def read_resource(path: str) -> str:
    """Return the text of one file, such as ``grammar/surgery.lark`` or ``specs/plan.schema.json``.

    Raises:
        ValueError: The path leads out of the data folder.
        FileNotFoundError: There is no such file.
    """
    root = data_root()
    target = (root / path).resolve()
    if not target.is_relative_to(root):
        raise ValueError(f"{path} is not inside the data folder")
    return target.read_text(encoding="utf-8")
