"""strace, where it is installed and may trace: what lets a system call fail, or a process die on entering it."""

import os
import shutil
import subprocess


def find_strace():
    """Return where strace is, and why it cannot be used; one of them is empty."""
    found = shutil.which("strace")
    if found is None:
        return "", "strace is not installed"
    tried = subprocess.run(
        [found, "-f", "-o", os.devnull, "true"], capture_output=True, text=True, timeout=60, check=False
    )
    return ("", f"strace cannot trace here: {tried.stderr.strip()}") if tried.returncode else (found, "")


def traced(strace, *injections):
    """Return what stands before a line that is to be traced; an injection is `CALL:what:when=n`.

    Without injections every call is written to `trace`; with them, the calls they name.
    """
    named = ",".join(injection.partition(":")[0] for injection in injections)
    chosen = ["-e", f"trace={named}"] if named else []
    return [strace, "-f", "-o", "trace", *chosen, *(f"--inject={injection}" for injection in injections)]
