"""A runner to be killed: appends numbered events to a journal and prints each number once it is acknowledged.

    python journal_child.py DIRECTORY [BYTES]

Goes on until it is killed, or, with the size of every file limited to BYTES, until the journal fails.
"""

import asyncio
import os
import resource
import sys
from itertools import count
from pathlib import Path

from rollout.core.events import WaveOpened
from rollout.errors import JournalError
from rollout.journal.sqlite import JOURNAL_NAME, SqliteJournal

CALLERS = 8


async def main(directory: Path, limit: int | None) -> None:
    if (directory / JOURNAL_NAME).exists():
        journal = SqliteJournal.open(directory, linger_s=0.0005)
    else:
        journal = SqliteJournal.create(directory, "c1", "d1", linger_s=0.0005)
    numbers = count(1 + sum(1 for _ in journal.read()))
    if limit is not None:
        resource.setrlimit(
            resource.RLIMIT_FSIZE, (limit, limit)
        )  # Python ignores SIGXFSZ: writes fail with EFBIG

    async def caller() -> None:
        while True:
            number = next(numbers)
            await journal.append([WaveOpened(float(number), number)])
            os.write(1, b"%d\n" % number)

    async def last_words() -> None:
        try:
            await caller()
        except JournalError as error:
            os.write(2, f"{error.code}\n".encode())

    await asyncio.gather(*(last_words() for _ in range(CALLERS)))
    await last_words()  # nothing works any more
    await journal.aclose()


asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None))
