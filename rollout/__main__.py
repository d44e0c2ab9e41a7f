"""`python -m rollout`: the command line without an installed script."""

from rollout.cli import main

main()
