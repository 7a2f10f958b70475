"""The recorder that runs inside the user's service.

Standard library only; OpenTelemetry is used where the service has it. ``instrument(app)``
attaches it by hand, ``fastsim record -- uvicorn app:app`` without touching the code.
``resource``, ``step`` and ``register_library`` name what the recorder cannot know by itself.
"""

from fastsim.collector.attach import instrument
from fastsim.collector.frames import register_library
from fastsim.collector.middleware import FastSimMiddleware
from fastsim.collector.naming import step
from fastsim.collector.pools import resource

__all__ = ["FastSimMiddleware", "instrument", "register_library", "resource", "step"]
