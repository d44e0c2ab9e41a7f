"""What signs and sends calls to a profile's platform."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from rollout.enos.caller import Caller, at_once
from rollout.enos.signing import Secret
from rollout.enos.transport import Transport
from rollout.settings import DEMO_ACCESS_KEY, DEMO_SECRET_KEY, Profile
from rollout.telemetry.redact import REDACTOR


def caller_of(
    profile: Profile,
    org_id: str,
    *,
    url: str | None = None,
    read_permit: Callable[[], Awaitable[None]] = at_once,
    steer_permit: Callable[[], Awaitable[None]] | None = None,
) -> Caller:
    """Return what signs and sends calls to the profile's platform, or to the one at `url`.

    From now on no output of this process shows the profile's keys, except the emulator's demo keys, which are public.

    Raises: CredentialsMissing, SettingsError.
    """
    keys = profile.credentials()
    app_key, app_secret = keys.access_key.get_secret_value(), keys.secret_key.get_secret_value()
    REDACTOR.learn(*{app_key, app_secret} - {DEMO_ACCESS_KEY, DEMO_SECRET_KEY})
    return Caller(
        Transport(url or profile.url, ca_file=profile.ca_file),
        org_id=org_id,
        app_key=app_key,
        app_secret=Secret(app_secret),
        read_permit=read_permit,
        steer_permit=steer_permit,
    )
