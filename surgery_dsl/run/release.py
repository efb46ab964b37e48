"""Which release this is. No torch."""

from importlib.metadata import PackageNotFoundError, version


def tool_version() -> str:
    """Return the version of this program; ``unknown`` where it runs from a tree that is not installed."""
    try:
        return version("surgery-dsl")
    except PackageNotFoundError:
        return "unknown"
