"""Write models and scenarios as YAML that people like to read and edit.

Keys in the order of the model, defaults left out, short blocks on one line. Also the one
way to write a file that must not replace another by accident.
"""

import contextlib
import io
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from fastsim.errors import StoreError
from fastsim.short_writing import shortened

ALWAYS = frozenset({"version", "kind", "family", "do"})
"""Keys that say what a block is; written even where they are the default."""

SHORT = 80
"""A block that fits in so many columns goes on one line."""
_LAWS = frozenset(
    {"expon", "gamma", "lognorm", "weibull", "pareto", "invgauss", "mixture", "empirical"}
)
_WRAP = 92
_DIGITS = 6


def dump_yaml(
    model: BaseModel,
    path: str | Path | None = None,
    *,
    header: Sequence[str] = (),
    force: bool = False,
) -> str:
    """Return the model as YAML text and write it to ``path`` if one is given.

    Parameters
    ----------
    header
        Lines of the comment at the top, without ``#``.

    Raises
    ------
    StoreError
        When the file exists and ``force`` is not set, or cannot be written.
    """
    plain: Any = _plain(model, model.model_dump(mode="json", by_alias=True))
    if plain.get("kind") == "model":
        plain = shortened(plain)
    root = _Dumper(io.StringIO(), sort_keys=False).represent_data(plain)
    _set_style(root, top=True)
    body = yaml.serialize(root, Dumper=_Dumper, allow_unicode=True, width=math.inf)
    text = "".join(f"# {line}".rstrip() + "\n" for line in header) + body
    if path is not None:
        write_new(path, text, force=force)
    return text


def _plain(value: object, written: object) -> object:
    """Leave defaults out of what pydantic wrote; ``value`` is the object behind it."""
    if isinstance(value, BaseModel) and isinstance(written, dict):
        kept = {}
        # What a block adds to its base says more than what all share: family before fit.
        own = vars(type(value)).get("__annotations__", {})
        fields = sorted(type(value).model_fields.items(), key=lambda item: item[0] not in own)
        for name, field in fields:
            inner, key = getattr(value, name), field.alias or name
            default = field.get_default(call_default_factory=True)
            # Nothing under "loop" is not the same as no "loop": a model by hand gets usual costs.
            said = name in ALWAYS or (name == "loop" and isinstance(inner, BaseModel))
            if said or field.is_required() or inner != default:
                kept[key] = _plain(inner, written[key])
        return kept
    if isinstance(value, dict) and isinstance(written, dict):
        pairs = zip(value.values(), written.items(), strict=True)
        return {key: _plain(inner, text) for inner, (key, text) in pairs}
    if isinstance(value, (list, tuple)) and isinstance(written, list):
        return [_plain(inner, text) for inner, text in zip(value, written, strict=True)]
    return _rounded(written) if isinstance(written, float) else written


def _rounded(number: float) -> float:
    rounded = float(f"{number:.{_DIGITS}g}")
    # 0.9999999 must not become 1: some values have an open end there.
    return number if rounded.is_integer() and not number.is_integer() else rounded


class _Dumper(yaml.SafeDumper):
    """Wraps long lists, but neither text nor blocks."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the same object twice is no reference
        return True

    def expect_flow_sequence_item(self) -> None:
        with self._wrapped():
            super().expect_flow_sequence_item()

    def expect_flow_mapping_key(self) -> None:
        with self._wrapped():
            super().expect_flow_mapping_key()

    @contextlib.contextmanager
    def _wrapped(self) -> Iterator[None]:
        self.best_width = _WRAP
        yield
        self.best_width = math.inf  # type: ignore[assignment]  # as many columns as it takes


def _set_style(node: yaml.Node, *, top: bool = False) -> tuple[int, int]:
    """Choose flow or block style bottom up; return (columns on one line, levels of blocks)."""
    if isinstance(node, yaml.ScalarNode):
        return len(node.value), 0
    if isinstance(node, yaml.SequenceNode):
        sizes = [_set_style(item) for item in node.value]
        width = 2 + sum(size for size, _ in sizes) + 2 * len(sizes)
        levels = max((levels for _, levels in sizes), default=0)
        # Blocks one to a line, numbers side by side.
        text = any(_is_text(item) for item in node.value)
        node.flow_style = levels == 0 and (not text or width <= SHORT)
        return width, levels
    assert isinstance(node, yaml.MappingNode)  # noqa: S101 - there is no fourth kind
    width, levels = 2, 0
    simple = True
    for key, value in node.value:
        size, inner = _set_style(value)
        width += len(key.value) + 4 + size
        levels = max(levels, inner)
        simple &= isinstance(value, yaml.ScalarNode) or bool(value.flow_style)
    if any(key.value in _LAWS or key.value == "constant" for key, _ in node.value):
        _flow(node)  # a law with its fit is one thing, however long
        return width, 1
    node.flow_style = not top and simple and width <= SHORT and levels <= 1
    return width, levels + 1


def _flow(node: yaml.Node) -> None:
    if isinstance(node, yaml.CollectionNode):
        node.flow_style = True
        for item in node.value:
            for part in item if isinstance(item, tuple) else (item,):
                _flow(part)


def _is_text(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and " " in node.value


def write_new(path: str | Path, text: str, force: bool = False) -> None:
    """Write UTF-8 text whole or not at all; an existing file is kept unless ``force``.

    Raises
    ------
    StoreError
        When the file exists and ``force`` is not set, or cannot be written.
    """
    target = Path(path)
    if target.is_dir():
        raise StoreError(f"{path} is a directory", hint="name a file", where=str(path))
    if target.exists() and not force and target.is_file():
        raise _exists(path)
    if not target.parent.is_dir():
        raise StoreError(
            f"directory {target.parent} does not exist", hint="create it first", where=str(path)
        )
    try:
        if target.exists() and not target.is_file():  # a pipe or a device
            target.write_text(text, encoding="utf-8")
        else:
            _replace(target.resolve(), text, force=force)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreError(f"{path} cannot be written: {reason}", where=str(path)) from None


def _replace(target: Path, text: str, *, force: bool) -> None:
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        if force:
            if target.exists():
                temporary.chmod(target.stat().st_mode & 0o777)
            temporary.replace(target)
        else:
            _claim(temporary, target)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _claim(temporary: Path, target: Path) -> None:
    # A hard link fails if somebody else made the file meanwhile; a rename would replace it.
    try:
        target.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:  # this file system has no hard links
        if target.exists():
            raise FileExistsError from None
        temporary.replace(target)


def _exists(path: str | Path) -> StoreError:
    return StoreError(f"{path} exists", hint="--force overwrites it", where=str(path))
