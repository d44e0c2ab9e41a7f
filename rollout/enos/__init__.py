"""The platform: everything that knows EnOS."""
