"""Hooks for schemathesis, which runs in an environment of its own: signs what it sends, and adds two checks.

The signature is made last, over the bytes and the query as they will be sent, by the contract's own caller.
"""

import os
import sys
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import schemathesis
from requests.auth import AuthBase
from schemathesis.checks import negative_data_rejection, positive_data_acceptance
from schemathesis.core.parameters import ParameterLocation

sys.path.insert(0, str(Path(__file__).parent))
from contract_caller import Caller

BEYOND_SCHEMAS = (
    "endTimestamp lies before startTimestamp",
    "minSuccessForVerified must lie in",
    "productKey is missing for a firmware without a product",
)
"""Refusals for how two fields relate, or a field and a firmware, of which a JSON schema says nothing."""


class Signed(AuthBase):
    def __init__(self):
        self.caller = Caller(os.environ["EMULATOR_URL"], "demo-access-key", "demo-secret-key", "")

    def __call__(self, request):
        body = request.body or b""
        if request.headers.get("Content-Type", "").startswith("multipart/"):
            body = b""
        query = dict(parse_qsl(urlsplit(request.url).query, keep_blank_values=True))
        headers = self.caller.signed_headers(query, body.encode() if isinstance(body, str) else body)
        del headers["Content-Type"]
        request.headers.update(headers)
        return request


schemathesis.auth.set_from_requests(Signed())


def _is_out_of_question(case):
    """The token service answers everything with 200; bad headers were made good by the signature."""
    negative = {where for where, part in case.meta.components.items() if part.mode.is_negative}
    return case.path.startswith("/apim-token-service/") or negative == {ParameterLocation.HEADER}


@schemathesis.check
def invalid_is_refused(context, response, case):
    """What the description does not admit is refused."""
    return None if _is_out_of_question(case) else negative_data_rejection(context, response, case)


@schemathesis.check
def valid_is_taken(context, response, case):
    """What the description admits is not refused as invalid."""
    beyond = any(words in response.text for words in BEYOND_SCHEMAS)
    return None if beyond else positive_data_acceptance(context, response, case)
