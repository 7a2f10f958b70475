"""The recorder that runs inside the user's service.

Standard library and OpenTelemetry only. ``instrument(app)`` attaches it by hand,
``fastsim record -- uvicorn app:app`` without touching the code.
"""

from fastsim.collector.attach import instrument
from fastsim.collector.middleware import FastSimMiddleware
from fastsim.collector.pools import resource

__all__ = ["FastSimMiddleware", "instrument", "resource"]
