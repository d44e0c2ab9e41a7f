"""The platform as it answers: routes, credentials, faults, the admin page and the server."""
