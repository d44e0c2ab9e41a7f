"""What EnOS publishes is written twice, since intake knows nothing of the platform's client; here both must agree."""

from importlib.metadata import version

import pytest

from rollout import __version__
from rollout.enos import limits
from rollout.enos.job_plan import ENOS
from rollout.errors import PlanError
from rollout.intake.plan_file import load_plan_file

PLAN = """\
version: 1
id: bounds
orgId: o1
firmwareId: f1
job: {%s}
devices: {from: [devices.csv]}
waves: [{name: all, size: rest}]
"""


def is_accepted(tmp_path, job):
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN % job)
    try:
        load_plan_file(path, ENOS)
    except PlanError:
        return False
    return True


@pytest.mark.parametrize(
    ("job", "least", "most"),
    [
        ("upgradeTimeout: %d", limits.UPGRADE_TIMEOUT_S_MIN, limits.UPGRADE_TIMEOUT_S_MAX),
        (
            "retryPolicy: {enableRetry: true, retryCount: 1, retryInterval: %d}",
            0,
            limits.RETRY_INTERVAL_S_MAX,
        ),
        ("retryPolicy: {enableRetry: true, retryInterval: 0, retryCount: %d}", 1, limits.RETRY_COUNT_MAX),
    ],
)
def test_the_plan_accepts_exactly_what_the_platform_does(tmp_path, job, least, most):
    """Both ends are in, one beyond either is out."""
    accepted = [is_accepted(tmp_path, job % value) for value in (least - 1, least, most, most + 1)]
    assert accepted == [False, True, True, False]


def test_the_version_is_one():
    """The package and its metadata name the same version."""
    assert version("enos-rollout") == __version__
