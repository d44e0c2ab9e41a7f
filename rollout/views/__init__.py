"""What people see of a campaign's state: words, lines, tables, charts. Pure: no clock, no stream, no file."""
