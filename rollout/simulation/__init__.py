"""Whole campaigns in virtual time: the same core, engine, codec, client and platform model, no sockets, no waiting.

    seed ─► Trial (Scenario + acts) ─► World ─► lives of the real Runner ─► Evidence ─► checkers ─► Report
                                         │
                   SimLoop (the clock jumps) · Wires (requests under way, faults) · Power (crashes) · SimJournal

What is real: core, engine, client, journal codec, emulator. What is imitated: time, the network, the disk and death.
`python -m rollout.simulation` explores seeds; `rollout simulate` asks what a plan does to a fleet.
"""
