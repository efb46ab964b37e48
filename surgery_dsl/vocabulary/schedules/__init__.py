"""Schedules: numbers that depend on the step alone, and shares that grow from stage to stage of an ``excise``.

A schedule that runs from a value to another is exact at both ends. ``_ramp`` holds what ``linear`` and ``cubic`` share.
"""
