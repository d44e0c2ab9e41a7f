"""Runs in the environment of Envision's client: reads one call a line, `[url, body]`, and writes what the client returned or raised.

The client has one function, `urlopen`. What it prints itself goes to standard error.
"""

import contextlib
import json
import sys

from poseidon import poseidon

# it reads the second part of either key as a hexadecimal number
APP_KEY = "11112222-aaaa-4bbb-8ccc-ddddeeeeffff"
APP_SECRET = "99998888-bbbb-4aaa-8ccc-0000eeee1111"

for line in sys.stdin:
    url, body = json.loads(line)
    with contextlib.redirect_stdout(sys.stderr):
        try:
            outcome = {"returned": poseidon.urlopen(APP_KEY, APP_SECRET, url, body)}
        except Exception as error:  # noqa: BLE001 - whatever it raises is what its user would see
            outcome = {"raised": type(error).__name__}
    print(json.dumps(outcome), flush=True)
