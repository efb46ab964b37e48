"""Telling the user's code from that of libraries."""

import os
import sysconfig

import torch

_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_LIBRARY = (os.path.dirname(os.path.abspath(torch.__file__)) + os.sep, _HERE + os.sep)
_STANDARD = sysconfig.get_paths()["stdlib"] + os.sep


def is_library(file: str) -> bool:
    """Say whether a file belongs to Python, torch or this package, and so not to the user."""
    inside = file.startswith(_LIBRARY) or (file.startswith(_STANDARD) and "site-packages" not in file)
    return inside or file.startswith("<")
