"""YAML text to plain values, remembering where every key and value stands.

Stricter than YAML: no duplicate keys, no dates, no tags of other languages, finite numbers.
Checking values against a model is the business of ``fastsim.yaml_source``.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import yaml
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

Path = tuple[str | int, ...]
Value = None | bool | int | float | str | list["Value"] | dict[str, "Value"]

MAX_DEPTH = 40
MAX_GROWTH = 10
"""How many times longer aliases may make a file: aliases of aliases grow without bound."""

_PREFIX = "tag:yaml.org,2002:"
_LARGEST = 2**63 - 1

# The C scanner is ten times faster; only wheels for rare platforms come without it.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A position in the text, counted from 0, and how many characters to underline."""

    line: int
    column: int
    width: int = 1


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a file. ``path`` names the key or value it is about."""

    place: Place
    path: Path
    message: str
    hint: str | None = None


class NotYamlError(Exception):
    """The text is not YAML, or not the part of YAML that is read here."""

    def __init__(self, message: str, place: Place) -> None:
        super().__init__(message)
        self.message = message
        self.place = place


@dataclass(slots=True)
class Document:
    """The value of a file and the places of its parts."""

    value: Value = None
    keys: dict[Path, Place] = field(default_factory=dict)
    values: dict[Path, Place] = field(default_factory=dict)
    texts: dict[Path, str] = field(default_factory=dict)
    """Scalars as they were written."""
    problems: list[Problem] = field(default_factory=list)
    origins: dict[Path, Path] = field(default_factory=dict)
    """What parts were called in the file, where they were written in a short form."""

    def written(self, path: Path) -> Path:
        """Return what a part is called in the file."""
        known = path
        while known and known not in self.origins:
            known = known[:-1]
        return (*self.origins[known], *path[len(known) :]) if known in self.origins else path

    def key_place(self, path: Path) -> Place:
        """Return where a key stands; for an item of a list, where the item begins."""
        return self.keys.get(path) or self.value_place(path)

    def value_place(self, path: Path) -> Place:
        """Return where a value stands, or the nearest block around it."""
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, Place(0, 0))


@dataclass(slots=True)
class _Node:
    place: Place
    tag: str | None = None
    text: str = ""
    plain: bool = False
    items: list["_Node"] | None = None
    pairs: list[tuple["_Node", "_Node"]] | None = None


def read_document(text: str) -> Document:
    """Read one YAML document; problems with single values are listed in the result.

    Raises
    ------
    NotYamlError
        When the text as a whole cannot be read.
    """
    try:
        root = _compose(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(mark.line, mark.column) if mark else Place(0, 0)
        lines = text.splitlines()
        line = lines[place.line] if place.line < len(lines) else ""
        if "\t" in line[: len(line) - len(line.lstrip())]:
            raise NotYamlError("a tab at the beginning of a line; write spaces", place) from None
        raise NotYamlError(error.problem or "this is not YAML", place) from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = Place(before.count("\n"), error.position - before.rfind("\n") - 1)
        raise NotYamlError("this character is not allowed in YAML", place) from None
    document = Document()
    if root is not None:
        document.value = _Walk(document, MAX_GROWTH * (len(text) + 100)).value(root, ())
    return document


# --- text -> nodes -----------------------------------------------------------------------


def _compose(text: str) -> _Node | None:
    # Own composer: PyYAML's recurses once per level, the C one until the process dies.
    events = yaml.parse(text, Loader=_LOADER)
    root: _Node | None = None
    stack: list[_Node] = []
    keys: list[_Node | None] = []
    anchors: dict[str, _Node] = {}
    closing: list[str | None] = []
    documents = 0
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise NotYamlError("a second document begins here", _start(event))
            continue
        if isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            node = stack.pop()
            keys.pop()
            # An anchor counts from the end of its block, so nothing can contain itself.
            if anchor := closing.pop():
                anchors[anchor] = node
            continue
        opened = _node(event, anchors)
        if opened is None:
            continue
        if not stack:
            root = opened
        elif (items := stack[-1].items) is not None:
            items.append(opened)
        elif (key := keys[-1]) is None:
            keys[-1] = opened
        else:
            pairs = stack[-1].pairs
            assert pairs is not None  # noqa: S101 - a node on the stack has items or pairs
            pairs.append((key, opened))
            keys[-1] = None
        if isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
            if len(stack) >= MAX_DEPTH:
                raise NotYamlError(f"nested deeper than {MAX_DEPTH} levels", opened.place)
            stack.append(opened)
            keys.append(None)
            closing.append(event.anchor)
        elif isinstance(event, yaml.ScalarEvent) and event.anchor:
            anchors[event.anchor] = opened
    return root


def _node(event: yaml.Event, anchors: dict[str, _Node]) -> _Node | None:
    if isinstance(event, yaml.AliasEvent):
        name = event.anchor or ""
        if name not in anchors:
            raise NotYamlError(f"nothing is marked &{name} before this", _start(event))
        return anchors[name]
    if isinstance(event, yaml.ScalarEvent):
        return _Node(_start(event), event.tag, event.value, plain=bool(event.implicit[0]))
    if isinstance(event, yaml.SequenceStartEvent):
        return _Node(_start(event), event.tag, items=[])
    if isinstance(event, yaml.MappingStartEvent):
        return _Node(_start(event), event.tag, pairs=[])
    return None


def _start(event: yaml.Event) -> Place:
    start, end = event.start_mark, event.end_mark
    if start is None or end is None:  # only events made by hand have no marks
        return Place(0, 0)
    one_line = isinstance(event, yaml.ScalarEvent) and start.line == end.line
    return Place(start.line, start.column, max(1, end.column - start.column) if one_line else 1)


# --- nodes -> values ------------------------------------------------------------------------


class _Walk:
    """Turns nodes into values and notes the places on the way."""

    def __init__(self, document: Document, most: int) -> None:
        self.document = document
        self.most = most
        self.resolver = Resolver()
        self.constructor = SafeConstructor()
        self.nodes = 0

    def value(self, node: _Node, path: Path) -> Value:
        self.nodes += 1
        if self.nodes > self.most or len(path) > MAX_DEPTH:
            raise NotYamlError("aliases make this file too large", node.place)
        self.document.values[path] = node.place
        if node.pairs is not None:
            return self._mapping(node.pairs, path)
        if node.items is not None:
            return [self.value(item, (*path, index)) for index, item in enumerate(node.items)]
        self.document.texts[path] = node.text
        return self._scalar(node, path)

    def _mapping(self, pairs: list[tuple[_Node, _Node]], path: Path) -> Value:
        found: dict[str, Value] = {}
        for key, value in pairs:
            inside = (*path, key.text)
            if key.items is not None or key.pairs is not None:
                self._note(key, path, "a key must be text", "braces in text need quotes")
            elif not _is_unicode(key.text):
                self._note(key, path, "a key holds half of a character")
            elif key.text in found:
                line = self.document.keys[inside].line + 1
                self._note(
                    key, inside, f"duplicate key {key.text!r}", f"it is set on line {line} already"
                )
            else:
                self.document.keys[inside] = key.place
                found[key.text] = self.value(value, inside)
        return found

    def _scalar(self, node: _Node, path: Path) -> Value:
        tag = node.tag
        if tag in {None, "!"}:
            plain = node.plain and tag is None
            resolve: Callable[..., object] = self.resolver.resolve
            tag = str(resolve(yaml.ScalarNode, node.text, (plain, not plain)))
        kind = tag.removeprefix(_PREFIX) if tag else ""
        if kind in {"null", "bool", "int", "float"}:
            return self._constructed(kind, node, path)
        # Dates, `=` and `<<` are plain text to us.
        if node.tag not in {None, "!", _PREFIX + "str"}:
            self._note(node, path, f"tag {node.tag!r} is not supported", "leave it out")
        if not _is_unicode(node.text):
            self._note(node, path, "the text holds half of a character")
            return ""
        return node.text

    def _constructed(self, kind: str, node: _Node, path: Path) -> Value:
        scalar = yaml.ScalarNode(_PREFIX + kind, node.text)
        make = getattr(self.constructor, f"construct_yaml_{kind}")
        try:
            value: Value = make(scalar)
        except (ValueError, OverflowError, KeyError, IndexError, yaml.YAMLError):
            self._note(node, path, f"{_short(node.text)} is not a number that can be read")
            return None
        too_large = isinstance(value, int) and abs(value) > _LARGEST
        if too_large or (isinstance(value, float) and not math.isfinite(value)):
            wrong = "too large" if too_large else "not a finite number"
            self._note(node, path, f"{_short(node.text)} is {wrong}")
            return None
        return value

    def _note(self, node: _Node, path: Path, message: str, hint: str | None = None) -> None:
        self.document.problems.append(Problem(node.place, path, message, hint))


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")


def parts(value: Value, path: Path = ()) -> Iterator[tuple[Path, Value]]:
    """Yield every part of a value with its path, outermost first."""
    yield path, value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from parts(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from parts(inner, (*path, index))
