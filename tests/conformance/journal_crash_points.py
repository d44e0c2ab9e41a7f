"""Kill a journal's life at every line it executes, and look at what each death left.

    python journal_crash_points.py DIRECTORY

A life makes or opens a journal, appends twice, closes. It is run in a forked process again and again; the n-th
kills itself before the n-th line of `rollout.journal` that it executes, on whichever thread. Prints how many
lines there were in a first life (which creates) and in a second one (which opens); an assertion ends it early.
"""

import asyncio
import os
import shutil
import signal
import sys
import threading
from itertools import count
from pathlib import Path

from journal_life import live, look

ROOM = f"rollout{os.sep}journal{os.sep}"


def killed_at(step, directory, first):
    """Run a life that ends before its `step`-th line; return what it said, and whether it was killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        lines = count(1)

        def trace(frame, event, arg):
            if ROOM not in frame.f_code.co_filename:
                return None
            if event == "line" and next(lines) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return trace

        threading.settrace(trace)
        sys.settrace(trace)
        asyncio.run(live(directory, first, lambda text: os.write(writing, text)))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().split()
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or status == 0, "the life failed by itself"
    return said, os.WIFSIGNALED(status)


def crash_everywhere(home, base):
    template = home / f"template-{base}"
    template.mkdir()
    if base:
        asyncio.run(live(template, 1, lambda text: None))
    for step in count(1):
        directory = home / "campaign"
        shutil.copytree(template, directory)
        said, killed = killed_at(step, directory, base + 1)
        asyncio.run(look(directory, base, said, born=base == 0))
        shutil.rmtree(directory)
        if not killed:
            return step - 1
    raise AssertionError("a count never ends")


home = Path(sys.argv[1])
print(crash_everywhere(home, 0), crash_everywhere(home, 2))
