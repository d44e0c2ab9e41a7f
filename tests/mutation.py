"""Mutation testing of `rollout.core`: draw a sample of the mutants, run it, print the score and who survived.

    python tests/mutation.py --sample 800 --seed 1

needs the dependency group `mutation`; tests/README.md keeps the score. mutmut makes the mutants in the folder `mutants/`
and keeps each result there, so a run that was interrupted goes on where it was. A second run of the same sample tries
only what was not killed before: the way to see that a new test kills a survivor. Delete the folder after a change of the
code, so that the sample is drawn from the mutants of today.
"""

import argparse
import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MUTANTS = ROOT / "mutants" / "rollout"
SMALLEST = "rollout.core.budget.*"
"""A handful of mutants: running them makes all the others, and finds out which tests cover what."""
KILLED = frozenset({1, 3, -24, -9, 24, 36, 152, 255})
"""Exit codes of mutmut that mean: a test failed, or the mutant ran far beyond its time."""
NO_TESTS = 33


def mutmut(*names, children):
    """Run these mutants; nice, since it takes all processors for long."""
    command = ["nice", sys.executable, "-m", "mutmut", "run", "--max-children", str(children), *names]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout[-3000:])


def known(area):
    """Return the exit code of every mutant of `area` by its name; None for one that was not run yet."""
    codes = {}
    for meta in sorted(MUTANTS.rglob("*.meta")):
        codes |= json.loads(meta.read_text())["exit_code_by_key"]
    return {name: code for name, code in codes.items() if name.startswith(area)}


def draw(names, size, seed):
    """Return `size` of the mutants, or all; the same ones for the same code and seed."""
    names = sorted(names)
    return names if size is None or size >= len(names) else sorted(random.Random(seed).sample(names, size))


def report(codes):
    """Print killed and all by module, then who survived."""
    whole, killed = Counter(), Counter()
    for name, code in codes.items():
        module = ".".join(name.split(".")[:3])
        whole[module] += 1
        killed[module] += code in KILLED
    for module, count in sorted(whole.items()):
        print(f"{module:32} {killed[module]:5} of {count:5} killed")
    print(
        f"{'together':32} {killed.total():5} of {whole.total():5} killed ({killed.total() / whole.total():.1%})"
    )
    for name, code in codes.items():
        if code not in KILLED:
            print(name, {NO_TESTS: "no test", None: "not run"}.get(code, "survived"))


def main():
    """Draw, run what was not killed before, and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sample", type=int, metavar="N", help="mutants to draw; all without it")
    parser.add_argument("--seed", type=int, default=1, help="of the sample (1)")
    parser.add_argument(
        "--area", default="rollout.core.", help="how the names of the mutants begin (rollout.core.)"
    )
    parser.add_argument("--children", type=int, default=2, help="mutants at once (2)")
    parser.add_argument("--report", action="store_true", help="run nothing, print what is known")
    given = parser.parse_args()
    if not MUTANTS.exists():
        mutmut(SMALLEST, children=given.children)
    names = draw(known(given.area), given.sample, given.seed)
    waiting = [name for name in names if known(given.area)[name] not in KILLED]
    if waiting and not given.report:
        mutmut(*waiting, children=given.children)
    codes = known(given.area)
    report({name: codes[name] for name in names})


if __name__ == "__main__":
    main()
