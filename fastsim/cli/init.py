"""``fastsim init``: write the files to begin with."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastsim.cli.options import Force
from fastsim.errors import InputError

if TYPE_CHECKING:
    from fastsim.load.openapi import Described
    from fastsim.model import ServiceModel


def init(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            help="A model.yaml, and an openapi.json or http://127.0.0.1:8000/openapi.json.",
            show_default=False,
        ),
    ] = None,
    *,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Directory to write into.")
    ] = Path(),
    force: Force = False,
) -> None:
    """Write files to begin with: scenario.yaml, traffic.yaml, and a model if there is none.

    From a model, the recorded rate and shares; from an OpenAPI description, the paths and bodies
    of every request. Without either, a service that does not exist yet, to be filled in.

    Example: fastsim init model.yaml http://127.0.0.1:8000/openapi.json
    """
    from fastsim.cli.beginning import model_text, scenario_text, traffic_text
    from fastsim.cli.output import note, refuse_existing, save_text
    from fastsim.model import ServiceModel
    from fastsim.yaml_source import parse_yaml

    model_path, model, described = _read(sources or [])
    texts: dict[str, str] = {}
    if model is None:
        texts["model.yaml"] = model_text(described)
        model = parse_yaml(texts["model.yaml"], ServiceModel)
    named = "model.yaml" if model_path is None else _relative(model_path, output)
    texts["scenario.yaml"] = scenario_text(model, named)
    texts["traffic.yaml"] = traffic_text(model, described)
    for name in texts:
        refuse_existing(output / name, force=force)
    for name, text in texts.items():
        save_text(output / name, text, force=force)
    note(f"next: fastsim check {output / 'scenario.yaml'} {output / 'traffic.yaml'}")


def _relative(model: Path, directory: Path) -> str:
    import os

    return os.path.relpath(model, directory)


def _read(sources: list[str]) -> "tuple[Path | None, ServiceModel | None, Described | None]":
    from fastsim.load.openapi import read_openapi
    from fastsim.model import ServiceModel
    from fastsim.yaml_source import load_yaml

    path, model, described = None, None, None
    for source in sources:
        if source.startswith(("http://", "https://")) or _is_json(source):
            if described is not None:
                raise InputError("two descriptions were given", hint="name one of them")
            described = read_openapi(_text_of(source), source)
        else:
            if model is not None:
                raise InputError("two models were given", hint="name one of them")
            path, model = Path(source), load_yaml(source, ServiceModel)
    return path, model, described


def _is_json(source: str) -> bool:
    try:
        with Path(source).open("rb") as file:
            return file.read(64).lstrip().startswith(b"{")
    except OSError:
        return False


def _text_of(source: str) -> str:
    import http.client

    from fastsim.load.address import parse_address, require_loopback
    from fastsim.load.first import fetch
    from fastsim.yaml_source import read_text

    if not source.startswith(("http://", "https://")):
        return read_text(Path(source))
    address = parse_address(source)
    require_loopback(address, allow_remote=False)
    try:
        status, content = fetch(address, "GET", address.path)
    except (OSError, http.client.HTTPException) as error:
        raise InputError(
            f"{source} gave no answer: {error}", hint="start the service first", where=source
        ) from None
    if status != 200:
        raise InputError(
            f"{source} answered {status}",
            hint="FastAPI serves its description at /openapi.json unless it was told not to",
            where=source,
        )
    return content.decode("utf-8", "replace")
