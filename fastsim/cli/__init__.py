"""The ``fastsim`` command."""

from fastsim.cli.main import main

__all__ = ["main"]
