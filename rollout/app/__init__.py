"""The application layer: what a plan, a run, a look, an order and a check-up are.

The command line, a worker and a web page call the same functions. A function here takes values and returns values:
it parses no flag, prints nothing and asks no question. What goes wrong is raised as a `RolloutError`.

    planning      plan file -> saved plan of a campaign
    rehearsal     how the devices of the emulator inside this process behave
    running       a saved plan is run
    watch         a run is shown while it lasts
    campaigns     where a campaign stands
    next_steps    what a person may do now
    orders        what a person asks of a campaign
    checkup       what a run needs of this machine and of the platform
    request       one call to the platform, signed and sent by hand
    create_calls  the create calls of a plan, to be looked at
    devices       the devices that the platform lists
    profiles      which platform is called, and with which keys
"""
