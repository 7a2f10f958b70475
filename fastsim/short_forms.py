"""Models as people write them: short forms, turned into the long ones that a model is made of.

``- cpu: 0.8ms`` stands for ``{do: cpu, time: {family: constant, value: 0.8ms}}``, and so on
(docs/reference/model.md). Every part of the long form keeps the place of what it was made of, so
that whatever is wrong is told by the line that somebody wrote.
"""

import copy
import re

from fastsim.errors import InputError
from fastsim.short_laws import Rewriting
from fastsim.short_writing import WAITS
from fastsim.units import format_share, parse_share
from fastsim.yaml_nodes import Document, Path, Problem, Value
from fastsim.yaml_problems import nearest

HEADS = ("cpu", *WAITS, "sleep", "thread", "use", "parallel", "choose", "repeat", "stream", "limit")
MARKS = ("respond", "yield")

_WHOLE = 0.005
"""Shares that people round may miss 100 % by so much."""
_DEFAULT_COSTS: dict[str, Value] = {
    "accept": "330us",
    "per_suspend": "10us",
    "per_event": "10us",
    "per_pass": "10us",
    "cold": {"extra": "60%"},
}
"""Of FastAPI and uvicorn on a busy loop: about 350 us a request and 40 us a wait (356 and 41 were
the medians of three runs of ``benchmarks/default_costs.py``). Idleness: decision 0011."""


class LongForms(Rewriting):
    """Rewrites a document; ``document`` is the result.

    Parameters
    ----------
    source
        What was read. It is left as it is.
    """

    def __init__(self, source: Document) -> None:
        super().__init__(source)
        self.document.value = self._model(source.value)

    # --- the model --------------------------------------------------------------------------

    def _model(self, value: Value) -> Value:
        if not isinstance(value, dict):
            return value
        made: dict[str, Value] = {}
        self.put((), ())
        for key, inner in value.items():
            at: Path = (key,)
            if key == "endpoints":
                made[key] = self._endpoints(inner)
            elif key == "resources" and isinstance(inner, dict):
                made[key] = {n: self._resource(r, (key, n)) for n, r in inner.items()}
                self.put(at, at)
            elif key == "loop" and isinstance(inner, dict):
                made[key] = self._loop(inner)
            elif key == "limits" and isinstance(inner, dict):
                made[key] = {n: self._limit(r, (key, n)) for n, r in inner.items()}
                self.put(at, at)
            else:
                made[key] = self.copy(inner, at, at)
        if "endpoints" in value and "loop" not in value and "provenance" not in value:
            made["loop"] = copy.deepcopy(_DEFAULT_COSTS)
            said = made.setdefault("warnings", [])
            if isinstance(said, list):
                said.append(DEFAULT_COSTS_WARNING)
        return made

    def _loop(self, value: dict[str, Value]) -> Value:
        top: Path = ("loop",)
        self.put(top, top)
        made = {key: self.copy(inner, (*top, key), (*top, key)) for key, inner in value.items()}
        jobs = value.get("background")
        if isinstance(jobs, list):
            found: list[Value] = []
            for number, job in enumerate(jobs):
                at: Path = (*top, "background", number)
                block = self.copy(job, at, at)
                if isinstance(job, dict) and isinstance(block, dict) and "time" in job:
                    block["time"] = self.law(job["time"], (*at, "time"), (*at, "time"))
                found.append(block)
            made["background"] = found
        pauses = made.get("pauses")
        if isinstance(pauses, dict) and "time" in pauses:
            place: Path = (*top, "pauses", "time")
            pauses["time"] = self.law(pauses["time"], place, place)
        return made

    def _resource(self, value: Value, at: Path) -> Value:
        if isinstance(value, int) and not isinstance(value, bool):
            return self._block_of("capacity", value, at)
        made = self.copy(value, at, at)
        if isinstance(made, dict) and "size" in made:
            # As SQLAlchemy names it: connections that are kept, and those beyond them.
            size, overflow = made.pop("size"), made.pop("overflow", 0)
            self.put((*at, "capacity"), (*at, "size"))
            if isinstance(size, int) and isinstance(overflow, int):
                size += overflow
            return {"capacity": size} | made
        return made

    def _limit(self, value: Value, at: Path) -> Value:
        if isinstance(value, str):
            return self._block_of("rate", value, at)
        return self.copy(value, at, at)

    def _block_of(self, key: str, value: Value, at: Path) -> Value:
        """Return the block that a bare value stands for."""
        self.put(at, at)
        self.put((*at, key), at)
        return {key: value}

    def _endpoints(self, value: Value) -> Value:
        top: Path = ("endpoints",)
        self.put(top, top)
        if isinstance(value, dict):
            found: list[Value] = []
            for number, (name, inner) in enumerate(value.items()):
                at, origin = (*top, number), (*top, name)
                self.put(at, origin)
                self.put((*at, "name"), origin)
                made = self._endpoint(inner, at, origin)
                found.append({"name": name, **made} if isinstance(made, dict) else made)
        elif isinstance(value, list):
            found = [self._endpoint(v, (*top, i), (*top, i)) for i, v in enumerate(value)]
        else:
            return value
        self._fill_shares(found, top, "endpoint")
        return found

    def _endpoint(self, value: Value, at: Path, origin: Path) -> Value:
        if isinstance(value, list):  # nothing but the steps
            return {"variants": self._only_variant(value, at, origin)}
        if not isinstance(value, dict):
            return self.copy(value, at, origin)
        self.put(at, origin)
        made: dict[str, Value] = {}
        for key, inner in value.items():
            to, of = (*at, key), (*origin, key)
            if key == "steps":
                made["variants"] = self._only_variant(inner, at, of)
            elif key == "variants" and isinstance(inner, list):
                made[key] = ways = self._holders(inner, to, of)
                self._fill_shares(ways, to, "variant")
            else:
                made[key] = self.copy(inner, to, of)
        return made

    def _only_variant(self, steps: Value, at: Path, origin: Path) -> list[Value]:
        where: Path = (*at, "variants", 0)
        self.put(where[:-1], origin)
        self.put(where, origin)
        return [{"steps": self._steps(steps, (*where, "steps"), origin)}]

    def _fill_shares(self, blocks: list[Value], at: Path, what: str) -> None:
        """Give what is left of 100 % to those without a share; they must add up to it."""
        known, unknown = 0.0, []
        for block in blocks:
            if not isinstance(block, dict):
                return
            if "share" not in block:
                unknown.append(block)
                continue
            text = block["share"]
            if not isinstance(text, str):
                return
            try:
                share = parse_share(text)
            except InputError:
                return
            if not 0.0 <= share <= 1.0:
                return
            known += share
        rest = 1.0 - known
        if unknown and rest > -_WHOLE:
            for block in unknown:
                block["share"] = format_share(max(rest, 0.0) / len(unknown), 12)
        elif abs(rest) > _WHOLE and blocks:
            message = f"the shares of the {what}s add up to {format_share(known)}, not 100%"
            place = self.document.key_place(at)
            self.document.problems.append(Problem(place, at, message))

    # --- steps ------------------------------------------------------------------------------

    def _holders(self, values: list[Value], at: Path, origin: Path) -> list[Value]:
        self.put(at, origin)
        return [self._holder(v, (*at, i), (*origin, i)) for i, v in enumerate(values)]

    def _holder(self, value: Value, at: Path, origin: Path) -> Value:
        """Rewrite a block that holds steps under that name; a bare list is its steps."""
        if isinstance(value, list):
            self.put(at, origin)
            return {"steps": self._steps(value, (*at, "steps"), origin)}
        if not isinstance(value, dict):
            return self.copy(value, at, origin)
        self.put(at, origin)
        made: dict[str, Value] = {}
        for key, inner in value.items():
            to, of = (*at, key), (*origin, key)
            if key == "steps":
                made[key] = self._steps(inner, to, of)
            elif key == "count":
                made[key] = self._count(inner, to, of)
            else:
                made[key] = self.copy(inner, to, of)
        return made

    def _steps(self, value: Value, at: Path, origin: Path) -> Value:
        self.put(at, origin)
        if not isinstance(value, list):
            return value
        return [self._step(v, (*at, i), (*origin, i)) for i, v in enumerate(value)]

    def _step(self, value: Value, at: Path, origin: Path) -> Value:
        self.put(at, origin)
        if isinstance(value, str):
            if value not in MARKS:
                self._unknown_step(value, at, origin)
                return {"do": "respond"}
            return {"do": value}
        if not isinstance(value, dict):
            return value
        if "do" in value:
            return self._long_step(value, at, origin)
        heads = ["stream"] if "stream" in value else [key for key in value if key in HEADS]
        if len(heads) != 1:
            if heads:
                self.wrong(at, (*origin, heads[1]), f"a step is either {' or '.join(heads)}")
            else:
                self._unknown_step(next(iter(value), ""), at, origin)
            return {"do": "respond"}
        head = heads[0]
        rest = {key: inner for key, inner in value.items() if key != head}
        made = self._headed(head, value[head], at, (*origin, head))
        for key, inner in rest.items():
            made[key] = self._part(str(made["do"]), key, inner, (*at, key), (*origin, key))
        return made

    def _unknown_step(self, name: str, at: Path, origin: Path) -> None:
        near = nearest(name, (*HEADS, *MARKS))
        hint = f"did you mean {near!r}?" if near else f"known: {', '.join((*HEADS, *MARKS))}"
        of = (*origin, name) if (*origin, name) in self.source.keys else origin
        self.wrong(at, of, f"unknown step {name!r}" if name else "an empty step", hint)

    def _headed(self, head: str, value: Value, at: Path, origin: Path) -> dict[str, Value]:
        """Return the long form of a step but for what stands beside its head."""
        law = self.law
        if head == "cpu":
            return {"do": "cpu", "time": law(value, (*at, "time"), origin)}
        if head in WAITS or head == "sleep":
            via: dict[str, Value] = {"via": "timer"} if head == "sleep" else {}
            time = law(value, (*at, "time"), origin)
            return {"do": "wait", "kind": head, **via, "time": time}
        if head == "thread" and isinstance(value, list):
            return {"do": "call", "steps": self._steps(value, (*at, "steps"), origin)}
        if head == "thread":
            return {"do": "thread", "cpu": law(value, (*at, "cpu"), origin)}
        if head == "use":
            return {"do": "use", "resource": self.copy(value, (*at, "resource"), origin)}
        if head == "limit":
            return {"do": "limit", "limit": self.copy(value, (*at, "limit"), origin)}
        if head == "repeat":
            return {"do": "repeat", "count": self._count(value, (*at, "count"), origin)}
        if head == "stream":
            chunks = self._count(value, (*at, "chunks"), origin)
            return {"do": "stream", "kind": "llm", "chunks": chunks}
        if head == "parallel":
            to = (*at, "branches")
            if not isinstance(value, list):
                return {"do": "parallel", "branches": self.copy(value, to, origin)}
            return {"do": "parallel", "branches": self._holders(value, to, origin)}
        return {"do": "choose", "ways": self._ways(value, at, origin)}

    def _part(self, do: str, key: str, value: Value, at: Path, origin: Path) -> Value:
        """Rewrite what a step has beside its head."""
        if (do, key) in _LAWS_OF_STEPS:
            return self.law(value, at, origin)
        if key == "steps":
            return self._steps(value, at, origin)
        if key in {"count", "chunks"}:
            return self._count(value, at, origin)
        if key == "tokens" and isinstance(value, dict):
            return self._tokens(value, at, origin)
        return self.copy(value, at, origin)

    def _tokens(self, value: dict[str, Value], at: Path, origin: Path) -> Value:
        self.put(at, origin)
        rewrite = {"output": self._count}
        return {
            key: rewrite.get(key, self.copy)(inner, (*at, key), (*origin, key))
            for key, inner in value.items()
        }

    def _long_step(self, value: dict[str, Value], at: Path, origin: Path) -> Value:
        do = str(value["do"])
        made: dict[str, Value] = {}
        for key, inner in value.items():
            to, of = (*at, key), (*origin, key)
            if key in {"branches", "ways"} and isinstance(inner, list):
                made[key] = self._holders(inner, to, of)
            else:
                made[key] = self._part(do, key, inner, to, of)
                self.put(to, of)
        return made

    def _ways(self, value: Value, at: Path, origin: Path) -> Value:
        to: Path = (*at, "ways")
        self.put(to, origin)
        if not isinstance(value, dict):
            return value
        ways: list[Value] = []
        for number, (key, inner) in enumerate(value.items()):
            where = (*to, number)
            name, share = _named_share(key)
            block: dict[str, Value] = {"name": name}
            if share is not None:
                block["share"] = share
            made = self._holder(inner, where, (*origin, key))
            if isinstance(made, dict):
                ways.append({**block, **made})
            else:
                self.put((*where, "steps"), (*origin, key))
                ways.append({**block, "steps": made})
        self._fill_shares(ways, to, "way")
        return ways

    def _count(self, value: Value, at: Path, origin: Path) -> Value:
        if isinstance(value, int) and not isinstance(value, bool):
            for inside in ((), ("values",), ("values", 0), ("weights",), ("weights", 0)):
                self.put((*at, *inside), origin)
            return {"values": [value], "weights": [1.0]}
        return self.copy(value, at, origin)


DEFAULT_COSTS_WARNING = (
    "the costs of the event loop are those of FastAPI and uvicorn on an ordinary machine, not "
    "measured with this service; 'loop: {}' leaves them out"
)

_LAWS_OF_STEPS = {
    ("cpu", "time"),
    ("wait", "time"),
    ("thread", "cpu"),
    ("thread", "off_gil"),
    ("stream", "gap"),
    ("stream", "cpu"),
}


def _named_share(key: str) -> tuple[str, str | None]:
    """Split ``hit 90%`` into its name and its share, which may be left out once."""
    match = re.fullmatch(r"(?:(?P<name>.*?)\s+)?(?P<share>[\d.]+\s*%)", key.strip())
    if match is None:
        return key, None
    return match["name"] or "", match["share"]


def long_form(document: Document) -> Document:
    """Return a model's document with every short form written out."""
    return LongForms(document).document
