"""Fixtures of this room."""

from support.watched import folded, plan_fixture  # noqa: F401 - fixtures
