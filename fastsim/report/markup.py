"""Build HTML and SVG text that is escaped by construction.

A plain string is always escaped; only ``Markup``, which ``tag`` returns, is not. Nothing
here knows what is being shown.
"""

import html
from collections.abc import Iterable

from fastsim.report.wording import clean

_VOID = frozenset({"meta", "br", "hr"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def escape(text: str) -> Markup:
    """Return text as HTML; markup passes unchanged, control characters are replaced."""
    if isinstance(text, Markup):
        return text
    return Markup(html.escape(clean(text), quote=True))


def join(parts: Iterable[str], separator: str = "") -> Markup:
    """Join parts, escaping the plain ones."""
    return Markup(separator.join(escape(part) for part in parts))


def tag(name: str, /, *children: str, **attributes: str | float | bool | None) -> Markup:
    """Return one element with its children.

    Attribute names lose a trailing underscore and change the others to dashes:
    ``class_="num"``, ``stroke_width=2``. ``None`` and ``False`` leave an attribute out,
    ``True`` writes it without a value.
    """
    opening = name
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        word = key if key in _CAMEL else key.rstrip("_").replace("_", "-")
        opening += f" {word}" if value is True else f' {word}="{_attribute(value)}"'
    if name in _VOID:
        return Markup(f"<{opening}>")
    return Markup(f"<{opening}>{join(children)}</{name}>")


_CAMEL = frozenset({"viewBox", "patternUnits", "patternTransform"})


def _attribute(value: str | float) -> str:
    return number(value) if isinstance(value, (int, float)) else escape(value)


def number(value: float) -> str:
    """Write a coordinate with at most two decimals."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
