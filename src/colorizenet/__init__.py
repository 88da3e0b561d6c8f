"""Turn grey photographs into colour ones, and train the networks that do it."""

__version__ = "0.1.0"
