"""The description at /_admin/openapi.json is a valid one, and true of the emulator: schemathesis tries to disprove it.

It makes calls from the description, good ones and bad ones, alone and in sequence, and holds every answer against it.
`ROLLOUT_SCHEMATHESIS_EXAMPLES=200` has it make more of each (8), `ROLLOUT_SCHEMATHESIS_SEED` others.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest
from contract_tenant import FLEET, ORG
from support.foreign import python_of

from rollout.emulator.http.openapi import describe
from rollout.emulator.platform.knobs import Knobs

HERE = Path(__file__).parent
EXAMPLES = int(os.environ.get("ROLLOUT_SCHEMATHESIS_EXAMPLES", "8"))
RUN_S_MAX = 30 * max(EXAMPLES, 8)
"""Seconds of one run; on an idle machine it takes a twentieth of that."""

ALWAYS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "ignored_auth",
)
TOLD_BY_STATUS = ("valid_is_taken", "invalid_is_refused")
"""Checks that need to see from the HTTP status whether a call was refused."""


def run(module, *arguments, cwd, **environment):
    """Run a module in schemathesis's environment, where it may leave its files; return exit code and all it said."""
    done = subprocess.run(
        [python_of("schemathesis"), "-m", module, *arguments],
        cwd=cwd,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=RUN_S_MAX,
        check=False,
    )
    return done.returncode, done.stdout


def test_the_description_is_a_valid_one(tmp_path):
    """It is an OpenAPI 3.1 document by the standard's own schema."""
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(describe(ORG)))
    code, said = run("openapi_spec_validator", "--schema", "3.1", str(path), cwd=tmp_path)
    assert code == 0, said


@pytest.mark.timeout(RUN_S_MAX + 30)
@pytest.mark.parametrize("error_status", ["200", "mapped"])
def test_every_answer_is_as_described(emulated, tmp_path, error_status):
    """No call that can be made from the description is answered otherwise than it says, or with a failure."""
    # numbers are numbers here: that texts are taken for them, too, is told nowhere in a schema
    knobs = Knobs(error_status=error_status, numeric_strings="refuse", read_lag_s=0, materialise_s=0)
    url = emulated(devices=FLEET, knobs=knobs).caller.url.geturl()
    checks = ALWAYS + (TOLD_BY_STATUS if error_status == "mapped" else ())
    # a refusal in an answer of 200 has no id for the call that would follow
    phases = "coverage,fuzzing,stateful" if error_status == "mapped" else "fuzzing"
    code, said = run(
        "schemathesis.cli",
        "run",
        f"{url}/_admin/openapi.json",
        "--checks",
        ",".join(checks),
        "--phases",
        phases,
        "--max-examples",
        str(EXAMPLES),
        "--seed",
        os.environ.get("ROLLOUT_SCHEMATHESIS_SEED", "1"),
        "--request-timeout",
        "60",
        "--no-color",
        SCHEMATHESIS_HOOKS=str(HERE / "described_hooks.py"),
        EMULATOR_URL=url,
        cwd=tmp_path,
    )
    assert code == 0, said
