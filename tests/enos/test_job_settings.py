"""EnOS's own part of a job: written out in full, read back, and refused where it is not understood."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.core.campaign import JobSpec
from rollout.enos.job_settings import UPGRADE_POLICIES, JobSettings, JobType
from rollout.errors import PlanError

SETTINGS = st.builds(
    JobSettings,
    type=st.just(JobType.UPGRADE),
    version_numbers=st.lists(st.text(min_size=1), max_size=3).map(tuple),
    upgrade_policy=st.sampled_from(UPGRADE_POLICIES),
    enable_upgrade_request=st.booleans(),
    product_key=st.none() | st.text(min_size=1),
    extra=st.dictionaries(st.text(min_size=1), st.integers() | st.text() | st.none(), max_size=2),
)


@given(SETTINGS)
def test_settings_come_back_from_json(settings):
    """What is written into a job's spec survives JSON and is the same settings again."""
    platform = json.loads(json.dumps(settings.to_platform()))
    assert JobSettings.of(JobSpec(platform=platform)) == settings


def test_what_is_sent_is_written_out():
    """The fields that every create call has stand there even at their defaults, so no later default changes them."""
    assert JobSettings().to_platform() == {
        "type": "upgrade",
        "upgradePolicy": "snapshot",
        "enableUpgradeRequest": False,
    }
    assert JobSettings(type=JobType.VERIFY, upgrade_policy="incremental").to_platform() == {"type": "verify"}


@pytest.mark.parametrize(
    ("platform", "code"),
    [
        ({"type": "upgrade", "region": "eu"}, "R181"),
        ({"upgradePolicy": "staged"}, "R181"),
        ({"type": "rollback"}, "R181"),
        ({"versionNumbers": 5}, "R182"),
    ],
)
def test_what_is_not_understood_is_refused(platform, code):
    """A setting of a newer program is R181, a damaged one R182; neither is sent half understood."""
    with pytest.raises(PlanError) as refused:
        JobSettings.of(JobSpec(platform=platform))
    assert refused.value.complaints[0].code == code


@pytest.mark.parametrize(
    ("settings", "grows"),
    [
        (JobSettings(), False),
        (JobSettings(upgrade_policy="incremental"), True),
        (JobSettings(type=JobType.VERIFY, upgrade_policy="incremental"), False),
    ],
)
def test_only_an_incremental_upgrade_grows(settings, grows):
    """A verification has no upgrade policy, so its devices are settled at creation."""
    assert settings.grows is grows
