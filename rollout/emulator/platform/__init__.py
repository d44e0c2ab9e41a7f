"""The platform as it behaves: jobs, tasks, devices and time, as pure values and functions; knows no HTTP."""
