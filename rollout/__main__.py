"""`python -m rollout`: the command line without an installed script."""

from rollout.cli import main

# processes that a command starts load this module anew, under another name
if __name__ == "__main__":
    main()
