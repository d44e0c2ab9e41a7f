"""Batch rollout engine for firmware campaigns on the EnOS IoT platform."""

__version__ = "0.1.0"
__all__ = ["__version__"]
