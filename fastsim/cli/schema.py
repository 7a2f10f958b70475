"""``fastsim schema``: the JSON Schema of a kind of file."""

from typing import Annotated

import typer

KINDS = "model, scenario, traffic, run, comparison, limit, size, sweep, forecast"


def schema(
    kind: Annotated[str, typer.Argument(help=f"One of {KINDS}.", show_default=False)],
) -> None:
    """Print the JSON Schema of files that you write, or that --json prints.

    Example: fastsim schema model > model.schema.json

    An editor with the YAML language server completes and checks a file that begins with
    "# yaml-language-server: $schema=model.schema.json".
    """
    from fastsim.cli.output import print_json
    from fastsim.schema import schema_of

    print_json(schema_of(kind))
