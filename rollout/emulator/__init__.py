"""The platform we talk to, imitated."""
