"""Where the load goes: checks on the URL before anything is sent."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from fastsim.errors import InputError
from fastsim.load.traffic_file import REQUEST_TARGET

_EXAMPLE = "write it like http://127.0.0.1:8000"


@dataclass(frozen=True, slots=True)
class Address:
    """A checked URL. ``path`` holds path and query, "/" when the URL had none."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self) -> str:
        """Scheme, host and port, without a trailing slash."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def prefix(self) -> str:
        """What goes before the paths of a traffic mix: the URL's path, or nothing."""
        return self.path.partition("?")[0].rstrip("/")

    @property
    def is_loopback(self) -> bool:
        """Whether the host can only be this machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost" or self.host.endswith(".localhost")


def parse_address(url: str) -> Address:
    """Read a URL.

    Raises
    ------
    InputError
        When it is not an http or https URL with a host, or names a user.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname
    except ValueError as error:
        raise InputError(f"{url!r} is not a URL: {error}", hint=_EXAMPLE) from None
    if parts.scheme not in {"http", "https"} or not host:
        raise InputError(f"{url!r} is not an http URL", hint=_EXAMPLE)
    if parts.username is not None or parts.password is not None:
        raise InputError(
            "the URL names a user", hint="send credentials as a header in a traffic file"
        )
    if any(character.isspace() or not character.isprintable() for character in host):
        raise InputError(f"{url!r} is not an http URL", hint=_EXAMPLE)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if REQUEST_TARGET.fullmatch(path) is None:
        raise InputError(
            f"path {path!r} cannot be sent", hint="percent-encode blanks and letters outside ASCII"
        )
    default_port = 443 if parts.scheme == "https" else 80
    return Address(parts.scheme, host, default_port if port is None else port, path)


def require_loopback(address: Address, *, allow_remote: bool) -> None:
    """Refuse to send load to another machine by accident.

    Raises
    ------
    InputError
        When the host is not loopback and ``allow_remote`` is not set.
    """
    if not (address.is_loopback or allow_remote):
        raise InputError(
            f"{address.host} is not this machine",
            hint="--allow-remote sends load to another host: use it on hosts you may load",
            where="URL",
        )
