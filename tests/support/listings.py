"""Listings of made-up devices, as EnOS's search would have given them."""

from rollout.intake.listing import ListingWriter


def listed(directory, rows, *, name="plan.listing-1.gz", source="enos:productKey=x", columns=()):
    """Write a listing of the rows (key, columns) into the directory and return it."""
    with ListingWriter(directory / name, columns) as writer:
        for key, fields in rows:
            writer.add(key, fields)
        return writer.finish(source, "https://gw.example.com", 1_795_813_306.125)


def meters(number):
    """Devices of one product with either of two versions."""
    for i in range(number):
        yield f"MTR-{i:06d}", {"productKey": "metering", "firmwareVersion": "1.8" if i % 3 else "1.9"}
