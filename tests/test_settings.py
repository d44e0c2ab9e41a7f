"""Profiles, references and URLs: what is read, from where, and what is refused without being repeated."""

import os

import pytest

from rollout.errors import SettingsError
from rollout.settings import (
    DEMO_ACCESS_KEY,
    EMULATOR_URL,
    CredentialsMissing,
    Profile,
    emulator_profile,
    is_loopback,
    load_profile,
)

CANARY = "cAnArY-secret-77"

CONFIG = """
default_profile = "eu-prod"

[profiles.eu-prod]
url = "https://apigw.example.com/"
org_id = "o1"
access_key = "env:MY_ACCESS"
secret_key = "file:{secret}"
protected = true
ca_file = "ca.pem"
latest_effect = "90s"
search_lag = "500ms"
search_by_name = false
"""


@pytest.fixture
def home(tmp_path):
    """A working directory with a profile, a secret file, and an empty user configuration."""
    secret = tmp_path / "secret"
    secret.write_text(CANARY + "\n")
    secret.chmod(0o600)
    (tmp_path / "rollout.toml").write_text(CONFIG.format(secret=secret))
    return tmp_path


def load(start, name=None, environment=None, **flags):
    environment = {"HOME": str(start / "nobody"), **(environment or {})}
    return load_profile(name, environment=environment, start=start, **flags)


def test_a_profile_is_found_upwards_and_read_whole(home):
    """Every field of the file arrives, in the units of the profile, and says where it came from."""
    deep = home / "a" / "b"
    deep.mkdir(parents=True)
    profile = load(deep)
    assert profile.name == "eu-prod"
    assert profile.url == "https://apigw.example.com"
    assert (profile.org_id, profile.protected, profile.search_by_name) == ("o1", True, False)
    assert (profile.latest_effect_s, profile.search_lag_s) == (90.0, 0.5)
    assert profile.ca_file == home / "ca.pem"
    assert profile.origin["url"] == f"{home / 'rollout.toml'} [profiles.eu-prod]"


def test_flag_beats_environment_beats_file_beats_user_directory(home):
    """The documented order holds for each field on its own."""
    users = home / "users" / "rollout"
    users.mkdir(parents=True)
    (users / "rollout.toml").write_text(
        '[profiles.eu-prod]\nurl = "https://user.example.com"\n[profiles.mine]\nurl = "https://mine.example.com"\n'
    )
    environment = {
        "XDG_CONFIG_HOME": str(home / "users"),
        "ENOS_URL": "https://env.example.com",
        "ENOS_ORG_ID": "o2",
    }
    assert load(home, "mine", {**environment, "ENOS_URL": ""}).url == "https://mine.example.com"
    assert load(home, environment={"XDG_CONFIG_HOME": str(home / "users")}).url == "https://apigw.example.com"
    profile = load(home, environment=environment)
    assert (profile.url, profile.org_id, profile.protected) == ("https://env.example.com", "o2", True)
    flagged = load(home, environment=environment, url="https://flag.example.com")
    assert flagged.url == "https://flag.example.com"
    assert flagged.origin["url"] == "flag"


def test_nothing_named_is_no_profile(tmp_path):
    """Without any configuration nothing is assumed: not even the emulator, lest it be taken for the real thing."""
    assert load(tmp_path) is None


def test_the_environment_alone_is_a_profile(tmp_path):
    """A URL and keys in the environment need no file."""
    environment = {"ENOS_URL": "https://gw.example.com", "ENOS_ACCESS_KEY": "a", "ENOS_SECRET_KEY": CANARY}
    profile = load(tmp_path, environment=environment)
    keys = profile.credentials({**environment})
    assert profile.name == "environment"
    assert keys.secret_key.get_secret_value() == CANARY


def test_the_emulators_profile_ignores_the_environment(tmp_path):
    """A rehearsal neither uses nor leaks the keys of production."""
    environment = {"ENOS_URL": "https://gw.example.com", "ENOS_ACCESS_KEY": "real", "ENOS_SECRET_KEY": CANARY}
    profile = load(tmp_path, "emulator", environment)
    assert profile.url == EMULATOR_URL
    assert profile.credentials(environment).access_key.get_secret_value() == DEMO_ACCESS_KEY


def test_rehearsing_takes_over_nothing_of_a_real_tenant(tmp_path):
    """`--emulator` keeps the bounds of an emulator's profile, and has its own otherwise."""
    rehearsal = emulator_profile(Profile("eu", "https://gw.example.com", latest_effect_s=1.0, protected=True))
    assert (rehearsal.url, rehearsal.latest_effect_s, rehearsal.protected) == (EMULATOR_URL, 2.0, False)
    (tmp_path / "rollout.toml").write_text('[profiles.emulator]\nlatest_effect = "9s"\n')
    assert emulator_profile(load(tmp_path, "emulator")).latest_effect_s == 9.0
    assert load(tmp_path, "emulator").search_lag_s == 3.0


def test_an_unknown_profile_names_the_known_ones(home):
    """The hint saves a look into the file."""
    with pytest.raises(SettingsError) as caught:
        load(home, "eu-prd")
    assert caught.value.hint == "profiles here: emulator, eu-prod"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('access_key = "{canary}"', "expected a reference"),
        ("access_key = 12", "expected a reference"),
        ('secret_key = "env:NOT A NAME"', "expected a reference"),
        ('url = "http://apigw.example.com"', "expected https"),
        ('url = "https://user:{canary}@apigw.example.com"', "without user and password"),
        ('url = "https://apigw.example.com:99999"', "port"),
        ('url = "ftp://127.0.0.1"', "expected https"),
        ('url = "https://gw.example.com?x={canary}"', "scheme, host and optional path"),
        ('latest_effect = "60"', "expected a duration"),
        ('latest_effect = "25h"', "at most 24h"),
        ("latest_effect = 60", "expected a duration"),
        ('protected = "yes"', "valid boolean"),
        ('secretkey = "{canary}"', "Extra inputs are not permitted"),
        ("url = [", "not TOML"),
    ],
)
def test_a_bad_value_is_refused_by_name_and_never_repeated(tmp_path, line, expected):
    """The message says which file and field and what is expected; the value, which may be a secret, is not in it."""
    path = tmp_path / "rollout.toml"
    path.write_text("[profiles.p]\n" + line.replace("{canary}", CANARY) + "\n")
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, "p")
    told = f"{caught.value} {caught.value.hint} {caught.value!r} {caught.value.__cause__}"
    assert expected in told
    assert str(path) in told
    assert CANARY not in told


@pytest.mark.parametrize(
    ("value", "error", "expected"),
    [
        (None, CredentialsMissing, "MY_ACCESS: not set"),
        ("", CredentialsMissing, "MY_ACCESS: empty"),
        (CANARY + "\n", SettingsError, "MY_ACCESS: the secret holds"),
        (CANARY + "\r\nHost: x", SettingsError, "MY_ACCESS: the secret holds"),
        (" " + CANARY, SettingsError, "MY_ACCESS: the secret holds"),
        (CANARY + "é", SettingsError, "MY_ACCESS: the secret holds"),
    ],
)
def test_a_bad_secret_names_its_variable_and_never_its_value(home, value, error, expected):
    """Missing, empty, with a line feed or a space: the variable is named, exit code 4 for missing and 2 for bad."""
    environment = {} if value is None else {"MY_ACCESS": value}
    with pytest.raises(error) as caught:
        load(home).credentials(environment)
    assert expected in str(caught.value)
    assert CANARY not in f"{caught.value!r} {caught.value.hint}"
    assert caught.value.exit_code == (4 if error is CredentialsMissing else 2)


def test_a_secret_file_is_read_without_its_line_feed(home):
    """What an editor or `echo` appends is not part of the secret; nothing shows it by accident."""
    keys = load(home).credentials({"MY_ACCESS": "ak"})
    assert keys.secret_key.get_secret_value() == CANARY
    assert CANARY not in f"{keys} {keys!r}"


def test_a_secret_file_others_may_read_is_refused(home):
    """The message says which mode to set."""
    (home / "secret").chmod(0o640)
    with pytest.raises(SettingsError) as caught:
        load(home).credentials({"MY_ACCESS": "ak"})
    assert "readable by others" in str(caught.value)
    assert caught.value.hint == f"chmod 600 {home / 'secret'}"


def _link(path):
    path.rename(path.with_name("real"))
    path.symlink_to(path.with_name("real"))


def _pipe(path):
    path.unlink()
    os.mkfifo(path, 0o600)


def _huge(path):
    path.write_text("x" * 5000)


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (_link, "a symbolic link"),
        (_pipe, "not a regular file"),
        (_huge, "larger than 4096 bytes"),
        (os.unlink, "no such file"),
    ],
)
def test_a_secret_file_must_be_a_plain_small_file(home, spoil, expected):
    """Links, pipes, large and missing files are refused before they can mislead or block."""
    spoil(home / "secret")
    with pytest.raises((SettingsError, CredentialsMissing), match=expected):
        load(home).credentials({"MY_ACCESS": "ak"})


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:8484", True),
        ("http://[::1]:8484", True),
        ("http://localhost", True),
        ("http://127.0.0.1.example.com", False),
        ("http://10.0.0.1", False),
        ("emulator:", False),
    ],
)
def test_loopback_is_told_by_the_host_alone(url, loopback):
    """Plain http and speed are for these hosts only."""
    assert is_loopback(url) is loopback
