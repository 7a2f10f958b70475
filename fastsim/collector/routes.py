"""The template of a request's path, read from what routing left in the ASGI scope."""

from collections.abc import Mapping
from typing import Any


def route_template(scope: Mapping[str, Any], root_path: str) -> str | None:
    """Return the full template, such as ``/api/items/{item}``, or None when nothing matched.

    ``root_path`` is the scope's from before routing: mounts add theirs to it. Since
    FastAPI 0.137 the matched route knows the path inside its own router only; the
    template with the prefixes of all including routers is in FastAPI's own context.
    """
    route = scope.get("route")
    if route is None:
        return None
    path = getattr(route, "path_format", None) or getattr(route, "path", None)
    fastapi_scope = scope.get("fastapi")
    if isinstance(fastapi_scope, dict):
        context = fastapi_scope.get("effective_route_context")
        if getattr(context, "original_route", None) is route:
            path = getattr(context, "path_format", None) or path
    if not isinstance(path, str):
        return None
    mounted = str(scope.get("root_path", ""))
    return mounted.removeprefix(root_path) + path if mounted != root_path else path
