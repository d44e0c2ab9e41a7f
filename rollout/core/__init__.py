"""The pure core: what a campaign is, what happened, and what to do next. No clock, no I/O."""
