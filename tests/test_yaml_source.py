import copy
import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from fastsim.errors import FastSimError, FileFormatError, StoreError
from fastsim.load.traffic_file import TrafficFile
from fastsim.model import Empirical, Endpoint, Fit, Lognorm, ServiceModel
from fastsim.result import Run
from fastsim.scenario import Scenario
from fastsim.yaml_source import (
    SourceError,
    dump_yaml,
    kind_of,
    load_json,
    load_yaml,
    parse_yaml,
    write_new,
)
from tests.model_file import MODEL, SCENARIO


def refused(text: str) -> SourceError:
    with pytest.raises(SourceError) as caught:
        parse_yaml(text, ServiceModel, name="m.yaml")
    return caught.value


def broken(old: str, new: str) -> SourceError:
    assert MODEL.count(old) >= 1
    return refused(MODEL.replace(old, new, 1))


# --- what a person reads ----------------------------------------------------------------------


def test_a_misspelt_key_is_shown_with_line_caret_and_suggestion() -> None:
    assert broken("service: shop", "servise: shop").report() == (
        "error: unknown key 'servise'\n"
        "  --> m.yaml:4:1 (servise)\n"
        "  |\n"
        "4 | servise: shop\n"
        "  | ^^^^^^^\n"
        "  = help: did you mean 'service'?"
    )


def test_all_problems_are_told_at_once_in_the_order_of_lines() -> None:
    text = MODEL.replace("utilisation: 67%", "utilisation: 67").replace(
        "capacity: 5", "capacity: 0"
    )
    error = refused(text.replace("do: yield", "do: yeild"))
    lines = [problem.place.line for problem in error.problems]
    assert [problem.message for problem in error.problems] == [
        "67 is not a percentage",
        "0 is out of range: it must be at least 1",
        "unknown do 'yeild'",
    ]
    assert lines == sorted(lines)
    assert str(error) == "67 is not a percentage (and 2 more)"


def test_at_most_20_problems_are_shown() -> None:
    report = refused(MODEL + "".join(f"extra{i}: 1\n" for i in range(30))).report()
    assert report.count("error: ") == 20
    assert report.endswith("and 10 more")


@pytest.mark.parametrize(
    ("old", "new", "message", "hint"),
    [
        ("20ms", "20", "20 is not a duration", "add a unit (s or ms), for example 20ms"),
        ("210/s", "210", "210 is not a rate", "add a unit (/s), for example 300/s"),
        ("via: thread", "via: thred", "'thred' is not allowed here", "did you mean 'thread'?"),
        ("kind: db", "kind: 7", "7 is not allowed here", None),
        ("capacity: 5", "capacity: '5'", "'5' is not a whole number", None),
        ("capacity: 5", "capacity: yes", "yes is not a whole number", None),
        ("capacity: 5", "capacity: 2.5", "2.5 is not a whole number", None),
        ("failed: true", "failed: 1", "1 is not true or false", None),
        ("capacity: 5", f"capacity: {10**26}", f"'{10**26}' is too large", None),
        ("sigma: 0.41", "sigma: .inf", "'.inf' is not a finite number", None),
        ("sigma: 0.41", "sigma: -1", "-1 is out of range: it must be above 0", None),
        ("tail: 0.2", "tail: 1.5", "1.5 is out of range: it must be below 1", None),
        ("median: 3ms", "medan: 3ms", "unknown key 'medan'", "did you mean 'median'?"),
        ("name: POST /chat", "name: 7", "7 is not text", "put it in quotes"),
        ("[recorded for 10 s only]", "none", "'none' is not a list", None),
        ("{capacity: 5}", "five", "'five' is not a block of keys", None),
        ("{capacity: 5}", "", "an empty value is not a block of keys", None),
        ("weights: [1, 3]", "weights: [1]", "1 weights for 2 values", None),
        ("version: 1", "version: 2", "2 is not allowed here", "known: 1"),
        ("resource: db", "resource: dbb", None, None),
        ("share: 60%", "share: 160%", "160% is out of range: it must be at most 1", None),
        ("share: 60%", "share: !!python/name:os.system x", None, "leave it out"),
    ],
)
def test_wrong_values_are_named_in_our_words(
    old: str, new: str, message: str | None, hint: str | None
) -> None:
    problem = broken(old, new).problems[0]
    if message:
        assert problem.message == message.replace("160%", "'160%'")
    if hint:
        assert problem.hint == hint


def test_nothing_of_pydantics_wording_is_left() -> None:
    report = broken("{capacity: 5}", "[1]").report() + broken("do: cpu", "do: []").report()
    assert "Input should" not in report
    assert "Extra inputs" not in report


def test_a_duplicate_key_is_refused() -> None:
    problem = broken("  db: {capacity: 5}", "  db: {capacity: 5}\n  db: {capacity: 6}").problems[0]
    assert problem.message == "duplicate key 'db'"
    assert problem.place.line == 12


def test_a_block_without_its_form_lists_the_forms() -> None:
    problem = broken("- {do: yield}", "- {}").problems[0]
    assert problem.message == "an empty step"
    assert problem.hint is not None
    assert problem.hint.startswith("known: cpu, db, ")
    law = broken("{family: constant, value: 1.2ms}", "{family: 3}").problems[0]
    assert (law.message, str(law.hint)[:16]) == ("unknown family '3'", "known: constant,")


def test_a_missing_key_points_at_the_block_that_lacks_it() -> None:
    error = broken("name: POST /chat", "requests: 7")
    assert [p.message for p in error.problems] == ["missing key 'name'"]
    assert "- requests: 7" in error.report()


def test_a_rule_about_several_places_points_at_the_name_it_is_about() -> None:
    error = broken("resource: db", "resource: cash")
    assert "do: acquire, resource: cash" in error.report()


# --- files ---------------------------------------------------------------------------------------


def test_a_missing_empty_or_unreadable_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "binary").write_bytes(b"a: \xff\xfe")
    for name, message in {
        "none": "does not exist",
        "empty": "is empty",
        "binary": "is not UTF-8 text",
        ".": "is a directory",
    }.items():
        with pytest.raises(FileFormatError, match=message):
            load_yaml(tmp_path / name, ServiceModel)


@pytest.mark.parametrize(
    "text", ["a: b: c", "[1,", "a: *nothing", "\x00", "--- 1\n--- 2", "a: &a [*a]", "[" * 5000]
)
def test_text_that_is_not_yaml_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(FileFormatError, match="is not YAML") as caught:
        parse_yaml(text, ServiceModel, name="m.yaml")
    assert caught.value.where is not None
    assert caught.value.where.startswith("m.yaml:")


@pytest.mark.parametrize("text", ["just words", "[1, 2]", "7", "# only a comment"])
def test_text_without_keys_is_refused(text: str) -> None:
    with pytest.raises(FileFormatError, match="holds no keys"):
        parse_yaml(text, ServiceModel)


def test_a_file_of_another_kind_is_named() -> None:
    with pytest.raises(FileFormatError, match="is a scenario file, but a model file is needed"):
        parse_yaml(SCENARIO, ServiceModel)
    with pytest.raises(FileFormatError, match="is not a model file"):
        parse_yaml('{"resourceSpans": []}', ServiceModel)


def test_aliases_that_expand_without_bound_are_refused() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
    )
    with pytest.raises(FileFormatError, match="too large"):
        parse_yaml(bomb, ServiceModel)


def test_anchors_repeat_a_block() -> None:
    text = MODEL.replace("{family: constant, value: 1.2ms}", "&t {family: constant, value: 1ms}")
    model = parse_yaml(text.replace("{family: expon, mean: 250us}", "*t"), ServiceModel)
    steps = model.endpoints[0].variants[0].steps
    assert steps[0].time == steps[-1].time  # type: ignore[union-attr]  # both are cpu steps


def test_a_byte_order_mark_and_windows_line_ends_are_tolerated(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + MODEL.replace("\n", "\r\n").encode())
    assert load_yaml(path, ServiceModel) == parse_yaml(MODEL, ServiceModel)


def test_a_date_is_text() -> None:
    text = "requests:\n- {endpoint: POST /a, share: 100%, json: {day: 2026-03-10}}"
    assert parse_yaml(text, TrafficFile).requests[0].json_body == {"day": "2026-03-10"}


def test_a_kind_is_told_or_guessed() -> None:
    models: list[type[BaseModel]] = [ServiceModel, Scenario, TrafficFile]
    assert kind_of(MODEL, models) == "model"
    assert kind_of("model: m.yaml", models) == "scenario"
    assert kind_of("endpoints: {}", models) == "model"
    assert kind_of("x: y", models) is None


def test_json_results_are_refused_with_the_place(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text('{\n  "kind": "run",\n  "sorce": "twin"\n}')
    with pytest.raises(SourceError) as caught:
        load_json(path, Run)
    assert f"error: unknown key 'sorce'\n  --> {path}:3:3 (sorce)" in caught.value.report()
    path.write_text('{"kind": "run", "sou')
    with pytest.raises(FileFormatError, match="torn off"):
        load_json(path, Run)
    path.write_text('{"kind": "comparison"}')
    with pytest.raises(FileFormatError, match="is a comparison file, but a run file is needed"):
        load_json(path, Run)


# --- writing -----------------------------------------------------------------------------------


def test_writing_and_reading_gives_the_same_model() -> None:
    model = parse_yaml(MODEL, ServiceModel)
    text = dump_yaml(model)
    assert parse_yaml(text, ServiceModel) == model
    assert dump_yaml(parse_yaml(text, ServiceModel)) == text
    scenario = parse_yaml(SCENARIO, Scenario)
    assert parse_yaml(dump_yaml(scenario), Scenario) == scenario


def test_a_distribution_with_its_fit_is_one_line() -> None:
    assert (
        "db: {lognorm: {median: 3ms, sigma: 0.41}, fit: {n: 1200, censored: 23%, distance: 0.012,\n"
    ) in dump_yaml(parse_yaml(MODEL, ServiceModel))


def test_defaults_are_left_out_but_kinds_are_kept() -> None:
    text = dump_yaml(parse_yaml(MODEL, ServiceModel), header=["by hand", ""])
    assert text.startswith("# by hand\n#\nversion: 1\nkind: model\nservice: shop\n")
    assert "- yield\n" in text
    assert "null" not in text
    assert " gil:" not in text


def test_a_long_list_is_wrapped() -> None:
    curve = Empirical(
        probabilities=[i / 200 for i in range(201)], values=[i / 1e3 for i in range(201)]
    )
    text = dump_yaml(curve)
    assert max(map(len, text.splitlines())) <= 110
    assert parse_yaml(text, Empirical) == curve


@pytest.mark.parametrize(
    "name", ["GET /a: b", "GET /{id}", "yes", "1.5", "", "- x", "# no", "é µ \u2028", "a\nb", "'\""]
)
def test_any_name_survives(name: str) -> None:
    endpoint = Endpoint.model_validate(
        {"name": name, "share": 0.5, "variants": [{"steps": [{"do": "yield"}]}]}
    )
    assert parse_yaml(dump_yaml(endpoint), Endpoint).name == name


@given(st.floats(1e-9, 1e6), st.floats(1e-6, 1e6), st.floats(0.0, 1.0), st.integers(0, 10**9))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_numbers_survive_to_four_digits(
    median: float, sigma: float, distance: float, n: int
) -> None:
    value = Lognorm(median=median, sigma=sigma, fit=Fit(n=n, distance=distance, censored=distance))
    again = parse_yaml(dump_yaml(value), Lognorm)
    assert again.median == pytest.approx(median, rel=5e-5)
    assert again.sigma == pytest.approx(sigma, rel=5e-6)
    assert again.fit is not None
    assert again.fit.distance == pytest.approx(distance, rel=5e-6)
    assert again.fit.censored == pytest.approx(distance, rel=5e-5)
    assert again.fit.n == n


def test_an_existing_file_is_kept_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    write_new(path, "one", force=False)
    with pytest.raises(StoreError, match="exists") as caught:
        write_new(path, "two", force=False)
    assert caught.value.hint == "--force overwrites it"
    assert path.read_text() == "one"
    write_new(path, "two", force=True)
    assert path.read_text() == "two"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_written_through(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    write_new(link, "new", force=True)
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_a_place_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist"):
        write_new(tmp_path / "none" / "m.yaml", "x", force=True)
    with pytest.raises(StoreError, match="is a directory"):
        write_new(tmp_path, "x", force=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        write_new(tmp_path / "file" / "m.yaml", "x", force=True)


# --- whatever a person may do to a file --------------------------------------------------------


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, inner in items:
        found += _places(inner, (*path, key))
    return found


ODD_VALUES = [
    *(None, True, -1, 0, 3.5, "", "text", "20ms", "-5%", [], {}, [1], "cpu", float("nan"), 2**70),
    *({"do": "cpu"}, {"family": "expon"}, {"family": "expon", "mean": "1ms"}),
]


def _damage(value: Any, rng: random.Random) -> Any:
    """Delete, rename, retype or move one random part."""
    place = rng.choice(_places(value))
    block = value
    for part in place[:-1]:
        block = block[part]
    key = place[-1]
    action = rng.randrange(4)
    if action == 0:
        del block[key]
    elif action == 1 and isinstance(block, dict):
        block[rng.choice(["x", "do", "family", f"{key}s", "", 7, None])] = block.pop(key)
    else:
        block[key] = copy.deepcopy(rng.choice(ODD_VALUES))
    return value


@given(st.integers(0, 2**32), st.integers(1, 4))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_a_damaged_file_is_read_or_refused_with_a_line(seed: int, times: int) -> None:
    rng = random.Random(seed)
    value = yaml.safe_load(MODEL)
    for _ in range(times):
        if _places(value):
            value = _damage(value, rng)
    text = yaml.safe_dump(value)
    refusal: FastSimError | None = None
    try:
        parse_yaml(text, ServiceModel, name="m.yaml")
    except FastSimError as error:
        refusal = error
    if isinstance(refusal, SourceError):
        assert all(problem.place.line < len(text.splitlines()) for problem in refusal.problems)
        assert "Input should" not in refusal.report()
    elif refusal is not None:
        assert isinstance(refusal, FileFormatError)
        assert refusal.where


@given(st.text(max_size=60))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_any_text_is_read_or_refused(text: str) -> None:
    for inserted in (text, MODEL + "\n" + text, MODEL.replace("shop", text)):
        try:
            parse_yaml(inserted, ServiceModel)
        except FastSimError as error:
            assert error.report()  # noqa: PT017


def test_tabs_are_called_tabs() -> None:
    with pytest.raises(FileFormatError, match="a tab at the beginning of a line; write spaces"):
        parse_yaml("version: 1\nmodel:\n\tx: 1\n", Scenario, name="s.yaml")
