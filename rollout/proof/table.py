"""The fault table: for each trouble the number of trials and what became of their batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from rollout.proof.acts import TrialEnding
from rollout.proof.explore import TrialResult

TABLE_COLUMNS: Final = (
    "trials",
    "deaths",
    "creates",
    "duplicates",
    "unnoticed",
    "lost",
    "parked",
    "adopted",
    "re-sent",
    "halted",
    "violations",
)
TABLE_HEAD: Final = """\
# Whole campaigns in virtual time, and what went wrong with them

Made by `python -m rollout.proof --table tests/proof/README.md --seeds {seeds}`. Every trial can be had again by
itself: `python -m rollout.proof --trouble "{example}" --seed 7` tells its plan, its script, its journal and how it
ended.

A trial is one seeded campaign: a fleet, a plan with waves and gates, limits, a platform with the trouble of its row, and
in three of four trials one or more deaths of the process, at seeded steps or moments. The engine, the client, the
journal's codec and the emulator's model are the real ones; time, network, disk and death are simulated. When the script is
over, platform and network are mended, a person answers what the campaign asks, and every rule of
`rollout/proof/checkers.py` is judged.

* **duplicates**: batches with more than one job at the end. Only a platform that breaks what every client must rely on (it
  carries out one call twice, or later than L) brings any; **unnoticed** are those that the campaign could still have
  seen and did not tell. Those that came to be after the campaign's last look are beyond any client.
* **lost**: batches without a job in a campaign that says it is finished.
* **parked**: creates left for a person to decide, loudly; **adopted**: jobs found after an answer was lost;
  **re-sent**: creates sent again after absence was proved; **halted**: halts that waited for a person.
* **violations**: trials in which any rule was broken.

"""


class Table:
    """Sums of results by trouble. `troubles`: the rows, in order."""

    def __init__(self, troubles: Iterable[str]) -> None:
        self._rows: dict[str, Counter[str]] = {trouble: Counter() for trouble in troubles}
        self._seeds: set[int] = set()

    @property
    def violations(self) -> int:
        """Number of trials in which a rule was broken."""
        return sum(row["violations"] for row in self._rows.values())

    def add(self, result: TrialResult) -> None:
        """Add the result of one trial."""
        self._seeds.add(result.seed)
        row = self._rows[result.trouble]
        row["trials"] += 1
        row["deaths"] += len(result.died_at)
        row["creates"] += result.creates
        row["duplicates"] += result.doubled
        row["unnoticed"] += sum(
            violation.rule == "a_second_job_is_noticed" for violation in result.violations
        )
        row["lost"] += result.lost
        for name in ("parked", "adopted", "re-sent", "halted"):
            row[name] += result.reached[name]
        row["violations"] += bool(result.violations)
        row["stuck"] += result.ending is TrialEnding.STUCK

    def markdown(self) -> str:
        """Return the table with its explanation, as Markdown."""
        total = Counter[str]()
        for row in self._rows.values():
            total += row
        lines = [
            "| trouble | " + " | ".join(TABLE_COLUMNS) + " |",
            "| --- |" + " ---: |" * len(TABLE_COLUMNS),
        ]
        for name, row in (*self._rows.items(), ("**all**", total)):
            lines.append(f"| {name} | " + " | ".join(f"{row[column]:,}" for column in TABLE_COLUMNS) + " |")
        head = TABLE_HEAD.format(seeds=len(self._seeds), example="answer lost")
        return head + "\n".join(lines) + "\n"
