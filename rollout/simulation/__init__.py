"""The virtual world: one campaign with its processes, platform, network and disk, in a time that jumps.

    Scenario ─► World ─► lives of the real Runner
                  │
    SimLoop (the clock jumps) · Wires (requests under way, faults) · Power (crashes) · SimJournal

Real: core, engine, client, journal codec, emulator. Simulated: time, the network, the disk and the death of a process.
Two rooms stand on this one and do not know each other: `forecast` (`rollout simulate`) and `proof` (`python -m rollout.proof`).
"""
