"""A short life of a journal, to be cut off somewhere, and what must be true of what that leaves.

    python journal_life.py DIRECTORY FIRST

Makes or opens the journal, appends the numbered events FIRST and FIRST + 1, prints each number once it is
acknowledged, and closes.
"""

import asyncio
import os
import sys
from pathlib import Path

from rollout.core.events import WaveOpened
from rollout.journal.sqlite import JOURNAL_NAME, SqliteJournal, read_events


def open_or_create(directory):
    if (directory / JOURNAL_NAME).exists():
        return SqliteJournal.open(directory, linger_s=0)
    return SqliteJournal.create(directory, "c1", "d1", linger_s=0)


async def live(directory, first, tell):
    journal = open_or_create(directory)
    for number in (first, first + 1):
        await journal.append([WaveOpened(float(number), number)])
        tell(b"%d\n" % number)
    await journal.aclose()
    tell(b"closed\n")


async def look(directory, base, said, *, born):
    """Check what a death left: sound, complete as far as was told, and never cleaner than it is."""
    acknowledged = [int(word) for word in said if word != b"closed"]
    existed = (directory / JOURNAL_NAME).exists()
    assert existed or not acknowledged
    if existed:
        # an onlooker comes before the next runner: `rollout status`, and `rollout run` itself before it asks
        assert len(list(read_events(directory))) >= max(acknowledged, default=base)
    journal = open_or_create(directory)
    stored = [event.wave for event in journal.read()]
    assert stored == list(range(1, len(stored) + 1)), stored
    assert len(stored) >= max(acknowledged, default=base)
    # clean only if the life never began to write, or had written all
    assert not journal.was_clean or len(stored) in {base, base + 2}
    assert not journal.older_than_lock or born, "a kill loses nothing that was committed"
    await journal.aclose()


if __name__ == "__main__":
    asyncio.run(live(Path(sys.argv[1]), int(sys.argv[2]), lambda text: os.write(1, text)))
