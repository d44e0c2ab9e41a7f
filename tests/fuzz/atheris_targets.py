"""The same targets with coverage leading the way, for as long as wanted; needs `pip install atheris`.

    python tests/fuzz/atheris_targets.py TARGET [SECONDS]
    python tests/fuzz/atheris_targets.py all 60

Bytes that make a target raise are printed by libFuzzer and left as `crash-…` in the working directory; each find joins
its target's corpus, which every test run reads first. Without atheris it says so and ends with 0.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import atheris
except ImportError:
    atheris = None

SECONDS = "60"
TOKEN_MAX = 64
"""Bytes libFuzzer takes in one word of a dictionary."""


def fuzz(name, seconds):
    """Fuzz one target in this process; libFuzzer ends it."""
    with atheris.instrument_imports(include=["rollout", "yaml", "json"]):
        from targets import TARGETS
    target = TARGETS[name]
    with tempfile.TemporaryDirectory() as place:
        tokens = Path(place) / "tokens"
        words = (
            "".join(f"\\x{byte:02x}" for byte in token) for token in target.tokens if len(token) <= TOKEN_MAX
        )
        tokens.write_text("".join(f'"{word}"\n' for word in words))
        corpus = Path(place) / "corpus"
        corpus.mkdir()
        for number, data in enumerate(target.corpus):
            (corpus / f"{number}").write_bytes(data)
        options = [
            f"-max_total_time={seconds}",
            *([f"-dict={tokens}"] if target.tokens else []),  # an empty one is refused
            "-max_len=65536",
            "-print_final_stats=1",
            "-timeout=20",
        ]
        atheris.Setup([name, *options, str(corpus)], target.run)
        atheris.Fuzz()


def main():
    """Parse and fuzz; return the exit code."""
    if atheris is None:
        print("atheris is not installed: skipped")
        return 0
    name, seconds = [*sys.argv[1:], SECONDS][:2]
    if name != "all":
        fuzz(name, seconds)
        return 0
    from targets import TARGETS

    # libFuzzer ends its process: one for each target
    codes = [
        subprocess.run([sys.executable, __file__, name, seconds], check=False).returncode for name in TARGETS
    ]
    return max(codes, key=abs)


if __name__ == "__main__":
    sys.exit(main())
