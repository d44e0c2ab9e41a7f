"""An emulator with given keys, which it reads from the environment as the runner does: `keyed_platform.py FAULT …`."""

import asyncio
import os
import sys
from functools import partial

from rollout.emulator.http.faults import FaultPlan
from rollout.emulator.http.gateway import KeyPair
from rollout.emulator.http.server import EmulatorConfig, serve_forever
from rollout.enos.signing import Secret

if __name__ == "__main__":
    config = EmulatorConfig(
        credentials=KeyPair(os.environ["CANARY_ACCESS"], Secret(os.environ["CANARY_SECRET"])),
        speed=float(os.environ["SPEED"]),
        faults=FaultPlan.parse(sys.argv[1:]),
    )
    asyncio.run(serve_forever(config, partial(print, flush=True)))
