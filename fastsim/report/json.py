"""Results and models as JSON text: stable, indented, and valid (no NaN or Infinity)."""

import json
import math

from pydantic import BaseModel

_SCALARS = (str, int, float, bool, type(None))


def to_json(model: BaseModel) -> str:
    """Write a result or model as JSON, ending in a newline.

    Keys keep the order of their class, so equal content gives equal bytes. A list of plain
    values stays on one line, otherwise a table of 20 000 requests would have 100 000 lines.
    NaN and infinite numbers, which JSON does not know, become ``null``.

    >>> from fastsim.result import Estimate
    >>> print(to_json(Estimate(value=0.25, unit="s")), end="")
    {
      "value": 0.25,
      "low": null,
      "high": null,
      "unit": "s"
    }
    """
    return _write(model.model_dump(mode="json"), "") + "\n"


def _write(value: object, indent: str) -> str:
    inner = indent + "  "
    if isinstance(value, dict) and value:
        rows = [f"{inner}{_scalar(str(key))}: {_write(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(rows) + "\n" + indent + "}"
    if isinstance(value, list) and value and not all(isinstance(item, _SCALARS) for item in value):
        rows = [inner + _write(item, inner) for item in value]
        return "[\n" + ",\n".join(rows) + "\n" + indent + "]"
    if isinstance(value, list):
        return "[" + ", ".join(map(_scalar, value)) + "]"
    return _scalar(value)


def _scalar(value: object) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        value = None
    return json.dumps(value, ensure_ascii=False)
