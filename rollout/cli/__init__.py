"""The command line: parse, call, print; decides nothing."""
