"""strace, if it is installed and may trace: makes a system call fail, or kills a process when it enters one."""

import os
import shutil
import subprocess


def find_strace():
    """Return the path of strace, and why it cannot be used; one of the two is empty."""
    found = shutil.which("strace")
    if found is None:
        return "", "strace is not installed"
    tried = subprocess.run(
        [found, "-f", "-o", os.devnull, "true"], capture_output=True, text=True, timeout=60, check=False
    )
    return ("", f"strace cannot trace here: {tried.stderr.strip()}") if tried.returncode else (found, "")


def traced(strace, *injections):
    """Return the words to put in front of a command to trace it; an injection is `CALL:what:when=n`.

    The file `trace` gets all calls, or with injections only the calls that they name.
    """
    named = ",".join(injection.partition(":")[0] for injection in injections)
    chosen = ["-e", f"trace={named}"] if named else []
    return [strace, "-f", "-o", "trace", *chosen, *(f"--inject={injection}" for injection in injections)]
