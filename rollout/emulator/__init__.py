"""The platform we talk to, imitated: a pure model, seeded devices and faults, thin HTTP routes over them."""
