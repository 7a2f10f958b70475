"""Everything the recorder does about the libraries of a service, in one call."""

from fastsim.collector.faults import note_fault
from fastsim.collector.frames import own_packages
from fastsim.collector.llm import hook_llm_clients
from fastsim.collector.pools import hook_pools

_MOST_OBJECTS = 10_000


def hook_libraries(app: object) -> None:
    """Watch pools and language-model clients; learn which packages are the service's own.

    Nothing is imported: a library is watched where the service uses it. Calling it again
    does nothing new.
    """
    try:
        own_packages(endpoint_packages(app))
        hook_pools()
        hook_llm_clients()
    except Exception as fault:  # noqa: BLE001  never into the service
        note_fault(fault)


def endpoint_packages(app: object) -> set[str]:
    """Return the top-level packages that the endpoints of an application are written in.

    A service may itself be installed as a package: by its place alone its code could not be
    told from that of libraries.
    """
    found: set[str] = set()
    seen: set[int] = set()
    waiting: list[object] = [app]
    while waiting and len(seen) < _MOST_OBJECTS:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        endpoint = getattr(each, "endpoint", None)
        module = getattr(endpoint, "__module__", None)
        if isinstance(module, str):
            found.add(module.partition(".")[0])
        routes = getattr(each, "routes", None)
        waiting += routes if isinstance(routes, list) else []
        # Mounted applications, included routers, middleware around the application.
        waiting += [getattr(each, name, None) for name in ("app", "original_router")]
    return found
