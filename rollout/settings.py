"""Where a campaign is sent and with which credentials: profiles, environment and files, checked once.

A *profile* names one EnOS tenant. It is put together, highest first, from flags, the environment, the
`rollout.toml` found upwards from the working directory, the user's own `rollout.toml`, and built-in defaults:

    --url, --ca-file           this one call
    ENOS_URL, ENOS_ORG_ID,     where and whose
    ENOS_ACCESS_KEY, ENOS_SECRET_KEY
    rollout.toml               [profiles.NAME], default_profile
    user directory             the same, for all projects of one person
    built in                   profile `emulator`: the emulator inside this process

Secrets are never values of a file, a flag or a plan: a profile holds a *reference*, `env:NAME` or
`file:PATH`, which is followed only when a call needs it. The profile of the in-process emulator ignores the
environment, so a rehearsal can neither use nor leak the keys of production.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from rollout.errors import RolloutError, SettingsError

CONFIG_NAME = "rollout.toml"
EMULATOR_URL = "emulator:"
DEMO_ACCESS_KEY = "demo-access-key"
DEMO_SECRET_KEY = "demo-secret-key"  # noqa: S105 - the emulator's public key, printed by its help

CONFIG_BYTES_MAX = 256 * 1024
"""Longest configuration file that is read, bytes. Our choice."""

SECRET_BYTES_MAX = 4096
"""Longest secret file that is read. Our choice; EnOS's keys are below 100 characters."""

LATEST_EFFECT_S = 60.0
"""L: how long after its end a create call may still take effect. Our assumption until a tenant is measured."""

SEARCH_LAG_S = 5.0
"""S: how late a created job may become findable. EnOS's pages advise to wait 2 s; this is twice that and more."""

EMULATOR_LATEST_EFFECT_S = 2.0
"""L of the emulator inside this process, which dies with its caller: nothing takes effect late. Real seconds."""

EMULATOR_SEARCH_LAG_S = 3.0
"""S of the emulator inside this process: its searches lag by 2 s of its own, faster time. Real seconds."""

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class CredentialsMissing(RolloutError):
    """The profile's keys are not there."""

    exit_code = 4


@dataclass(frozen=True, slots=True)
class Credentials:
    """The two keys that sign a call. pydantic's `SecretStr` keeps both out of every text."""

    access_key: SecretStr
    secret_key: SecretStr


@dataclass(frozen=True, slots=True)
class Account:
    """One application on one platform: where calls go, for which organisation, and the keys that sign them.

    `search_by_name`: whether the platform's release can search jobs by name.
    """

    url: str
    org_id: str
    keys: Credentials
    ca_file: Path | None = None
    search_by_name: bool = True


@dataclass(frozen=True, slots=True)
class Profile:
    """One tenant, resolved. Keys are references until `credentials` follows them.

    `latest_effect_s` (L) and `search_lag_s` (S) bound how late a create takes effect and is found; real seconds.
    `origin`: for each field, where its value came from.
    """

    name: str
    url: str
    org_id: str | None = None
    access_key: str | None = None
    secret_key: str | None = None
    protected: bool = False
    ca_file: Path | None = None
    latest_effect_s: float = LATEST_EFFECT_S
    search_lag_s: float = SEARCH_LAG_S
    search_by_name: bool = True
    origin: Mapping[str, str] | None = None

    @property
    def in_process(self) -> bool:
        """Whether the profile means the emulator inside this process."""
        return self.url == EMULATOR_URL

    @property
    def is_local(self) -> bool:
        """Whether the platform is on this machine: the emulator, inside or beside this process."""
        return self.in_process or is_loopback(self.url)

    def credentials(self, environment: Mapping[str, str] = os.environ) -> Credentials:
        """Follow the references and return the keys.

        A platform on this machine that has no reference gets the emulator's public demo keys.

        Raises:
            CredentialsMissing: no reference, or it leads nowhere.
            SettingsError: the value or the file cannot be used; names the source, never the value.
        """
        if self.in_process or (self.is_local and self.access_key is None and self.secret_key is None):
            return Credentials(SecretStr(DEMO_ACCESS_KEY), SecretStr(DEMO_SECRET_KEY))
        return Credentials(
            SecretStr(follow(self.access_key, f"profile {self.name}: access_key", environment)),
            SecretStr(follow(self.secret_key, f"profile {self.name}: secret_key", environment)),
        )


def is_loopback(url: str) -> bool:
    """Return whether the URL's host names this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name, not an address
        return False


def _seconds(value: Any) -> float:
    """Read `60s`, `500ms`, `2m`; at most one day."""
    match = re.fullmatch(r"([0-9]{1,6})(ms|s|m|h)", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('expected a duration such as "60s" or "500ms"')
    seconds = int(match[1]) * _SECONDS[match[2]]
    if seconds > 86_400:
        raise ValueError("expected at most 24h")
    return seconds


def reference(value: Any) -> str:
    """Accept `env:NAME` and `file:PATH`; a literal is refused without being repeated."""
    if not isinstance(value, str) or not re.fullmatch(
        r"env:[A-Za-z_][A-Za-z0-9_]{0,127}|file:[^\0\n]{1,1024}", value
    ):
        raise ValueError('expected a reference, "env:NAME" or "file:PATH"; a secret itself never stands here')
    return value


def _base_url(value: Any) -> str:
    """Accept `emulator:`, https anywhere, http on this machine only."""
    if value == EMULATOR_URL:
        return EMULATOR_URL
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError('expected a URL such as "https://apigw.example.com", or "emulator:"')
    try:
        parts = urlsplit(value)
        port_is_good = parts.port != 0  # reading the property checks the range
    except ValueError:
        raise ValueError("expected a URL with a port from 1 to 65535") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError("expected a URL without user and password; keys are references of their own")
    if parts.query or parts.fragment or not parts.hostname or not port_is_good:
        raise ValueError("expected scheme, host and optional path only")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(value)):
        raise ValueError("expected https; plain http is for this machine only")
    return value.rstrip("/")


class _ProfileTable(BaseModel):
    """`[profiles.NAME]` of `rollout.toml`."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    url: Annotated[str, BeforeValidator(_base_url)] | None = None
    org_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = None
    access_key: Annotated[str, BeforeValidator(reference)] | None = None
    secret_key: Annotated[str, BeforeValidator(reference)] | None = None
    protected: bool | None = None
    ca_file: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    latest_effect: Annotated[float, BeforeValidator(_seconds)] | None = None
    search_lag: Annotated[float, BeforeValidator(_seconds)] | None = None
    search_by_name: bool | None = None


class _ConfigFile(BaseModel):
    """The whole of `rollout.toml`."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    default_profile: str | None = None
    profiles: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")], _ProfileTable] = {}


def _read_config(path: Path) -> _ConfigFile:
    try:
        with path.open("rb") as file:
            data = file.read(CONFIG_BYTES_MAX + 1)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > CONFIG_BYTES_MAX:
        raise SettingsError(f"{path}: larger than {CONFIG_BYTES_MAX // 1024} KiB")
    try:
        table = tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        # The parser names line and column and never quotes a value.
        raise SettingsError(f"{path}: not TOML: {error}") from None
    try:
        return _ConfigFile.model_validate(table)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        hint = 'export the key and write access_key = "env:ENOS_ACCESS_KEY", or "file:…" with mode 0600'
        secret = first["loc"][-1:] in (("access_key",), ("secret_key",))
        raise SettingsError(f"{path}: {place}: {message}", hint=hint if secret else "") from None


def _config_paths(config: Path | None, start: Path, user_dir: Path) -> list[Path]:
    """Return the files to read, the strongest first."""
    if config is not None:
        return [config]
    upwards = (folder / CONFIG_NAME for folder in (start, *start.parents))
    found = next((path for path in upwards if path.is_file()), None)
    users = user_dir / CONFIG_NAME
    return [path for path in (found, users if users.is_file() else None) if path is not None]


def user_config_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """Return where a person's own configuration lives, by the XDG rule."""
    base = environment.get("XDG_CONFIG_HOME", "")
    return (
        Path(base) if base.startswith("/") else Path(environment.get("HOME", "/")) / ".config"
    ) / "rollout"


def load_profile(
    name: str | None = None,
    *,
    config: Path | None = None,
    url: str | None = None,
    ca_file: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    start: Path | None = None,
) -> Profile | None:
    """Return the profile a call is for, or None if nothing names one.

    Args:
        name: the profile asked for; else `default_profile`, else the one that `url` or `ENOS_URL` gives.
        config: read this file alone.
        start: folder to search upwards from; the working directory by default.

    Raises: SettingsError for an unknown profile, an unreadable file or a value that cannot be used.
    """
    paths = _config_paths(config, start or Path.cwd(), user_config_dir(environment))
    files = [(path, _read_config(path)) for path in paths]
    direct = url or environment.get("ENOS_URL")
    if name is None:
        name = next((file.default_profile for _, file in files if file.default_profile), None)
        # A URL given for this call overrides the default profile; but if that is a real tenant's profile, its
        # protection still holds.
        name = None if name == "emulator" and direct else name
    if name is None and direct is None:
        return None
    tables = [_layer(path, name, file.profiles[name]) for path, file in files if name in file.profiles]
    if name == "emulator":
        tables.append(("built in", {"url": EMULATOR_URL}))
    if name is not None and not tables:
        names = sorted({profile for _, file in files for profile in file.profiles} | {"emulator"})
        raise SettingsError(f"no profile {name!r}", hint=f"profiles here: {', '.join(names)}")

    layers = [("flag", {"url": _checked_url(url, "--url") if url else None, "ca_file": ca_file}), *tables]
    if name != "emulator" or _merged(layers)["url"][0] != EMULATOR_URL:
        layers.insert(1, ("environment", _from_environment(environment)))
    else:
        layers.append(
            ("built in", {"latest_effect_s": EMULATOR_LATEST_EFFECT_S, "search_lag_s": EMULATOR_SEARCH_LAG_S})
        )
    merged = _merged(layers)
    if "url" not in merged:
        raise SettingsError(f"profile {name}: no url", hint="write url in rollout.toml, or set ENOS_URL")
    return Profile(
        name=name or "environment",
        origin={field: source for field, (_, source) in merged.items()},
        **{field: value for field, (value, _) in merged.items()},
    )


_Layer = tuple[str, dict[str, Any]]


def _layer(path: Path, name: str, table: _ProfileTable) -> _Layer:
    """Return the values of one `[profiles.NAME]`, with the units of `Profile`."""
    return f"{path} [profiles.{name}]", {
        "url": table.url,
        "org_id": table.org_id,
        "access_key": table.access_key,
        "secret_key": table.secret_key,
        "protected": table.protected,
        # A path is relative to the file that contains it, wherever the command is called.
        "ca_file": path.parent / table.ca_file if table.ca_file else None,
        "latest_effect_s": table.latest_effect,
        "search_lag_s": table.search_lag,
        "search_by_name": table.search_by_name,
    }


def _merged(layers: list[_Layer]) -> dict[str, tuple[Any, str]]:
    """Return for each field that is set anywhere its strongest value and where it comes from."""
    return {
        field: (value, source)
        for source, layer in reversed(layers)
        for field, value in layer.items()
        if value is not None
    }


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    org_id = environment.get("ENOS_ORG_ID") or None
    if org_id is not None and not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", org_id):
        raise SettingsError("ENOS_ORG_ID: expected 1 to 64 letters and digits")
    url = environment.get("ENOS_URL")
    return {
        "url": _checked_url(url, "ENOS_URL") if url else None,
        "org_id": org_id,
        "access_key": "env:ENOS_ACCESS_KEY" if "ENOS_ACCESS_KEY" in environment else None,
        "secret_key": "env:ENOS_SECRET_KEY" if "ENOS_SECRET_KEY" in environment else None,
    }


def emulator_profile(profile: Profile | None = None) -> Profile:
    """Return a profile of the emulator inside this process: `profile` itself if it is one, else the built-in one."""
    if profile is not None and profile.in_process:
        return profile
    return Profile(
        name="emulator",
        url=EMULATOR_URL,
        latest_effect_s=EMULATOR_LATEST_EFFECT_S,
        search_lag_s=EMULATOR_SEARCH_LAG_S,
    )


def _checked_url(value: str, source: str) -> str:
    try:
        return _base_url(value)
    except ValueError as error:
        raise SettingsError(f"{source}: {error}") from None


def follow(reference: str | None, what: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return the secret behind a reference, `env:NAME` or `file:PATH`. Errors name `what` and the source, never the value."""
    if reference is None:
        raise CredentialsMissing(
            f"{what}: not set",
            code="R401",
            hint="export ENOS_ACCESS_KEY and ENOS_SECRET_KEY, or name files in rollout.toml",
        )
    kind, _, target = reference.partition(":")
    if kind == "env":
        source = target
        if target not in environment:
            raise CredentialsMissing(f"{source}: not set ({what})", code="R401", hint=f"export {target}")
        value = environment[target]
    else:
        source = target
        value = _read_secret_file(Path(target), what)
    if not value:
        raise CredentialsMissing(f"{source}: empty ({what})", code="R401")
    if not value.isascii() or not value.isprintable() or " " in value:
        # A line feed could inject another header; a space is a copy-and-paste mistake.
        raise SettingsError(
            f"{source}: the secret holds a space, a line feed or a character outside ASCII ({what})",
            code="R402",
            hint="copy the key again; it is one word",
        )
    return value


def _read_secret_file(path: Path, what: str) -> str:
    """Read a secret file: regular, no link, readable by its owner alone; one final line feed is dropped."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise CredentialsMissing(f"{path}: no such file ({what})", code="R401") from None
    except OSError as error:
        reason = "a symbolic link" if path.is_symlink() else error.strerror
        raise SettingsError(f"{path}: cannot be used: {reason} ({what})", code="R403") from None
    with os.fdopen(fd, "rb") as file:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            raise SettingsError(f"{path}: not a regular file ({what})", code="R403")
        if info.st_mode & 0o077:
            raise SettingsError(f"{path}: readable by others ({what})", code="R403", hint=f"chmod 600 {path}")
        data = file.read(SECRET_BYTES_MAX + 1)
    if len(data) > SECRET_BYTES_MAX:
        raise SettingsError(f"{path}: larger than {SECRET_BYTES_MAX} bytes ({what})", code="R403")
    return data.decode("utf-8", "replace").removesuffix("\n").removesuffix("\r")
