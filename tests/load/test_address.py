import pytest

from fastsim.errors import InputError
from fastsim.load.address import parse_address, require_loopback


@pytest.mark.parametrize(
    ("url", "origin", "prefix", "path"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000", "", "/"),
        (
            "http://localhost/api/?a=1",
            "http://localhost:80",
            "/api",
            "/api/?a=1",
        ),
        ("https://[::1]/", "https://[::1]:443", "", "/"),
    ],
)
def test_url_parts(url: str, origin: str, prefix: str, path: str) -> None:
    address = parse_address(url)
    assert (address.origin, address.prefix, address.path) == (origin, prefix, path)
    require_loopback(address, allow_remote=False)


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8000",
        "ftp://a",
        "http://",
        "http://a:99999",
        "http://[::1",
        "http://u:p@a/",
        "http://a/\u00e9",
        "http://a b/",
        "",
    ],
)
def test_unusable_urls_are_refused(url: str) -> None:
    with pytest.raises(InputError):
        parse_address(url)


@pytest.mark.parametrize("host", ["example.com", "10.0.0.1", "0.0.0.0", "localhost.example.com"])
def test_other_hosts_need_permission(host: str) -> None:
    address = parse_address(f"http://{host}/")
    with pytest.raises(InputError) as caught:
        require_loopback(address, allow_remote=False)
    assert "--allow-remote" in (caught.value.hint or "")
    require_loopback(address, allow_remote=True)
