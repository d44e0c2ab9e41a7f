"""An emulator of the EnOS OTA API, for rehearsals and tests.

`platform/` is the pure model: jobs, tasks, devices, time. `http/` stands above it: gateway, routes, faults, admin page,
server. `oplog` keeps the platform's history on disk; `population_file` reads how a fleet behaves.
"""
