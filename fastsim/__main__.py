"""Run the command line as ``python -m fastsim``."""

from fastsim.cli import main

main()
