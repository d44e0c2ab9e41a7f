"""The program's version, in a module of its own so that any room may name it without loading the public face."""

__version__ = "0.2.0"
