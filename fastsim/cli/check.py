"""``fastsim check``: tell whether files are valid, with everything that is wrong."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel


def check(
    files: Annotated[
        list[Path], typer.Argument(help="Model, scenario or traffic files.", show_default=False)
    ],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check files without running anything; for editors and pre-commit.

    Tells everything that is wrong in all of them and ends with exit code 2 if anything is.

    Example: fastsim check model.yaml scenario.yaml traffic.yaml
    """
    from fastsim.cli.output import note, print_json
    from fastsim.errors import InputError
    from fastsim.yaml_source import SourceError

    found: list[dict[str, object]] = []
    for file in files:
        row: dict[str, object] = {"file": str(file), "kind": None, "problems": []}
        found.append(row)
        try:
            row["kind"] = check_file(file)
            if not as_json:
                typer.echo(f"{file}: valid {row['kind']}")
        except SourceError as error:
            row["problems"] = [
                {
                    "line": problem.place.line + 1,
                    "column": problem.place.column + 1,
                    "key": ".".join(map(str, problem.path)),
                    "message": problem.message,
                    "hint": problem.hint,
                }
                for problem in error.problems
            ]
            note(error.report() + "\n")
        except InputError as error:
            row["problems"] = [{"message": error.message, "hint": error.hint}]
            note(error.report() + "\n")
    if as_json:
        print_json({"valid": not any(row["problems"] for row in found), "files": found})
    if any(row["problems"] for row in found):
        raise typer.Exit(2)


def check_file(path: Path) -> str:
    """Check one file by the rules of its kind and return the kind.

    Raises
    ------
    InputError
        When the file cannot be read or anything in it is wrong.
    """
    from fastsim.errors import FileFormatError
    from fastsim.schema import WRITTEN
    from fastsim.yaml_source import kind_of, parse_yaml, read_text

    text = read_text(path)
    kind = kind_of(text, WRITTEN.values(), name=str(path))
    if kind is None or kind not in WRITTEN:
        raise FileFormatError(
            f"{path} is {f'a {kind} file' if kind else 'of unknown kind'}, which cannot be checked",
            hint=f"files that can be have one of these lines: kind: {' · kind: '.join(WRITTEN)}",
            where=str(path),
        )
    value = parse_yaml(text, WRITTEN[kind], name=str(path))
    _check_inside(value, path)
    return kind


def _check_inside(value: "BaseModel", path: Path) -> None:
    """Check what one file alone cannot tell: goals, the model a scenario names, own classes."""
    from fastsim.errors import UnknownNameError
    from fastsim.model import ServiceModel
    from fastsim.scenario import Scenario, parse_slo
    from fastsim.yaml_source import load_yaml

    if isinstance(value, ServiceModel):
        from fastsim.twin.limits import check_station

        for limit in value.limits.values():
            if limit.station is not None:
                check_station(limit.station)
    if not isinstance(value, Scenario):
        return
    goals = [parse_slo(text) for text in value.slo]
    model = load_yaml(path.parent / value.model, ServiceModel)
    endpoints = [endpoint.name for endpoint in model.endpoints]
    named = [*value.traffic.mix, *(goal.endpoint for goal in goals if goal.endpoint)]
    for name in named:
        if name not in endpoints:
            raise UnknownNameError("endpoint", name, endpoints, where=str(path))
    if value.traffic.source is not None:
        from fastsim.cli.sources import check_source_text

        check_source_text(value.traffic.source, folder=path.parent)
    for name in value.deployment.resources:
        if name not in model.resources:
            raise UnknownNameError("resource", name, model.resources, where=str(path))
