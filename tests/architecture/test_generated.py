"""What is generated is in step with its source."""

from surgery_dsl.devtools import specs


def test_schemas_are_in_step() -> None:
    assert specs.stale() == []
