"""FastSim: a digital twin for FastAPI + Uvicorn services.

Nothing heavy is imported here: ``import fastsim`` happens inside production
services when the collector is attached.
"""

__version__ = "0.1.0"
