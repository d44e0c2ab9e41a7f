"""The OpenAPI document: well formed, complete, and true of what the emulator answers."""

import re

import pytest
from emulator_client import ORG

from rollout.emulator.http.openapi import describe, expression_pattern
from rollout.emulator.platform import search
from rollout.emulator.platform.expression import parse

pytestmark = pytest.mark.anyio


def refs(part):
    """Yield the references in a document."""
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"]
        for inner in part.values():
            yield from refs(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from refs(inner)


def test_every_reference_leads_somewhere_and_every_struct_is_used():
    """No schema is missing and none is left over."""
    document = describe(ORG)
    named = {ref.removeprefix("#/components/schemas/") for ref in refs(document)}
    assert named == document["components"]["schemas"].keys()


def test_bounds_have_their_names_in_json_schema():
    """Bounds have their JSON Schema names, not those of Python libraries, which would bound nothing."""
    text = str(describe(ORG)["components"]["schemas"])
    assert not re.search(r"'(ge|le|gt|lt|title)':", text)
    assert "'minimum': 300, 'maximum': 172800" in text


@pytest.mark.parametrize(
    "name", ["JOB_FIELDS", "TASK_FIELDS", "FIRMWARE_FIELDS", "DEVICE_UPGRADE_FIELDS", "DEVICE_FIELDS"]
)
def test_expressions_are_told_by_their_fields(name):
    """The pattern of a search admits each of its fields with each of its operators, and no other."""
    fields = getattr(search, name)
    pattern = re.compile(expression_pattern(fields))
    values = {"=": "= 'x'", "!=": "!= 'x'", "like": "like 'x'", "in": "in ('x', 'y')"}
    for field in fields:
        known = field.replace(".*", ".key-1")
        for operator in ("=", "!=", "like", "in", "exists"):
            text = f"exists({known})" if operator == "exists" else f"{known} {values[operator]}"
            assert bool(pattern.fullmatch(text)) == (operator in fields[field]), text
            if operator in fields[field]:
                parse(text, fields)
    assert pattern.fullmatch("")
    assert not pattern.fullmatch("noSuchField = 'x'")


async def test_the_description_is_served(emulator):
    """The admin routes give the document, with the emulator's organisation."""
    async with emulator(org_id="o7") as (_, client):
        answer = await client.send("GET", "/_admin/openapi.json")
        assert answer.headers["Content-Type"].startswith("application/json")
        assert answer.json == describe("o7")
