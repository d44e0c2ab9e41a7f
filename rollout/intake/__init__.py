"""Documents become values; a complaint names file, line and column."""
