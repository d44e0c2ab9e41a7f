"""The proof: seeded campaigns with troubles and crashes, judged by rules that must always hold.

    seed ─► Trial (Scenario + acts) ─► World ─► TrialEvidence ─► checkers ─► TrialResult ─► fault table

`python -m rollout.proof` runs seeds, every crash of a small campaign, or writes the fault table.
"""
