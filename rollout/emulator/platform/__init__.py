"""The emulated platform: firmware, devices, jobs, tasks and time. Pure: no HTTP, no event loop, no files."""
