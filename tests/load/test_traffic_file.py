import re
from pathlib import Path

import pytest

from fastsim.errors import FastSimError, InputError, ScenarioError
from fastsim.load.traffic_file import TrafficFile, parse_mix, read_traffic_file, single_path
from fastsim.yaml_source import parse_yaml

GOOD = """
version: 1
kind: traffic
requests:
  - endpoint: GET /products/{product_id}
    share: 85%
    path: /products/{1..500}
  - endpoint: POST /orders
    share: 15%
    json: {customer: "c{1..2000}", lines: [{sku: "sku-{1..500}", quantity: "{1..3}"}]}
    headers: {x-key: "1"}
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "traffic.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_traffic_file_compiles_to_a_mix(tmp_path: Path) -> None:
    get, post = read_traffic_file(written(tmp_path, GOOD))
    assert (get.endpoint, get.method, get.share, get.body) == (
        "GET /products/{product_id}",
        "GET",
        0.85,
        None,
    )
    assert get.path.fill([7]) == "/products/7"
    assert post.path.fill([]) == "/orders"
    assert post.body is not None
    assert post.body.fill([1, 2, 3]) == (
        '{"customer": "c1", "lines": [{"sku": "sku-2", "quantity": 3}]}'
    )
    assert dict(post.headers) == {"x-key": "1", "Content-Type": "application/json"}


def test_forms_are_sent_as_browsers_do(tmp_path: Path) -> None:
    text = """
requests:
  - {endpoint: POST /login, share: 100%, form: {user: "u{1..9}", note: "a b&c", on: "{x y|z}"}}
"""
    (entry,) = read_traffic_file(written(tmp_path, text))
    assert entry.body is not None
    assert entry.body.fill([4, 0]) == "user=u4&note=a+b%26c&on=x+y"
    assert dict(entry.headers)["Content-Type"] == "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ("{endpoint: POST /a, share: 100%, json: 1, form: {}}", "one body"),
        ("{endpoint: GET /a, share: 100%, path: '/a/${id}'}", "not captured by a request before"),
        ("{endpoint: GET /a, share: 100%, path: '/a/{x|y z}'}", "percent-encode"),
        ("{endpoint: GET /a, share: 100%, capture: {a: b}}", "capture"),
    ],
)
def test_what_a_request_cannot_say(tmp_path: Path, request_: str, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        read_traffic_file(written(tmp_path, f"requests: [{request_}]"))
    assert message in caught.value.report()


def test_json_null_is_a_body(tmp_path: Path) -> None:
    text = "requests: [{endpoint: POST /a, share: 100%, json: null}]"
    (entry,) = read_traffic_file(written(tmp_path, text))
    assert entry.body is not None
    assert entry.body.fill([]) == "null"


def test_shares_within_tolerance_are_scaled() -> None:
    mix = parse_mix("GET /a=66.6%, GET /b?x=1,2=33.3%")
    assert sum(entry.share for entry in mix) == pytest.approx(1.0, abs=1e-12)
    assert mix[1].path.fill([]) == "/b?x=1,2"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("15%", "16%", "add up to 101%"),
        ("15%", "0.15", "not a percentage"),
        ("POST /orders", "post /orders", "not an endpoint"),
        ("POST /orders", "POST orders", "not an endpoint"),
        ("    path: /products/{1..500}\n", "", "parameter without a value"),
        ("/products/{1..500}", "/products/{id}", "parameter without a value"),
        ("/products/{1..500}", "/caf\u00e9", "percent-encode"),
        ("/products/{1..500}", "/a#b", "percent-encode"),
        ("/products/{1..500}", "//{9..1}", "empty range"),
        ('x-key: "1"', 'x-key: "k{1..2}"', "placeholder"),
        ('x-key: "1"', 'traceparent: "1"', "set by the driver"),
        ('x-key: "1"', 'x-key: "a\\nb"', "plain ASCII"),
        ("headers", "header", "header"),
        ("version: 1", "version: 2", "not allowed here"),
        ('"{1..3}"', ".nan", "not a finite number"),
    ],
)
def test_wrong_traffic_file_names_the_problem(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new))
    with pytest.raises(ScenarioError) as caught:
        read_traffic_file(path)
    assert message in f"{caught.value.message} {caught.value.hint}"
    assert str(path) in (caught.value.where or "")


@pytest.mark.parametrize("text", ["", "a: [", "- 1", "requests: []", "kind: scenario"])
def test_unusable_yaml_is_one_clear_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(FastSimError):
        read_traffic_file(written(tmp_path, text))


def test_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        read_traffic_file(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("GET /a", "no share"),
        ("GET /a=60%", "add up to 60%"),
        ("GET /a=60", "not a percentage"),
        ("FETCH /a=100%", "not an endpoint"),
        ("GET /a=150%,GET /b=-50%", "impossible"),
        ("GET /a{x}=100%", "without a value"),
        ("", "no share"),
    ],
)
def test_wrong_mix_names_the_problem(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_mix(text)


def test_single_path_asks_for_that_path_only() -> None:
    (entry,) = single_path("/items?page=2")
    assert (entry.endpoint, entry.share) == ("GET /items?page=2", 1.0)


def test_the_reference_has_a_file_that_is_right_and_all_keys() -> None:
    text = (Path(__file__).parents[2] / "docs" / "reference" / "traffic.md").read_text()
    [example] = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert len(parse_yaml(example, TrafficFile).requests) == 2
    for key in ("endpoint", "share", "path", "json", "form", "headers", "before", "capture"):
        assert f"`{key}`" in text
