"""The emulated platform as a server: gateway, routes, faults, admin page."""
