"""The example service: a small web shop on FastAPI."""
