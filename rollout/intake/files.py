"""Opening files from elsewhere without hanging, and writing files that are complete or absent.

Opening a FIFO waits for a writer, reading `/dev/zero` never ends, and a symbolic link may point anywhere. So a
file is opened without waiting, then checked through its descriptor (a second look-up by name could find another
file), and only then read.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, BinaryIO


class Unopened(Exception):
    """The file cannot be read or must not be. The text says why and is shown after the file's name."""


def open_regular(path: Path, *, pipes: bool = False, follow: bool = True) -> BinaryIO:
    """Open a regular file for reading, unbuffered.

    Args:
        pipes: also take a pipe, as a shell's `<(…)` gives; only for paths the operator typed.
        follow: whether the last part of the path may be a symbolic link.
    Raises: Unopened.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        # O_NONBLOCK only when pipes are refused: it keeps open() from waiting for a FIFO's writer
        descriptor = os.open(path, flags if pipes else flags | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise Unopened(f"cannot be read: {reason.lower()}") from error
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode) or (pipes and (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode))):
        return os.fdopen(descriptor, "rb", buffering=0)
    os.close(descriptor)
    kind = "a directory" if stat.S_ISDIR(mode) else "a FIFO" if stat.S_ISFIFO(mode) else "not a regular file"
    raise Unopened(f"cannot be read: is {kind}")


def unnamed_file(directory: Path, stack: ExitStack) -> IO[bytes]:
    """Open a temporary file without a name, of which nothing remains even after a kill. `stack` closes it."""
    return stack.enter_context(tempfile.TemporaryFile(dir=directory))


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Yield a file to write. It replaces `path` if the block ends without an error, and is deleted otherwise.

    The replacement is atomic and survives a power cut. Raises OSError.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
