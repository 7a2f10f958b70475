"""Programs of requests in flat form: what a worker's event loop reads.

A ``Code`` is a list of operations with jumps, shared by all requests. It says nothing about
arrivals or the deployment.
"""

from dataclasses import dataclass, field

from fastsim.twin.footprints import Footprints
from fastsim.twin.tables import Table

CPU, WAIT, YIELD, ACQUIRE, RELEASE, THREAD, RESPOND = range(7)
FORK, REPEAT, AGAIN, CHOOSE, JUMP, MARK, LIMIT, CALL, ASK, NEXT, END = range(7, 18)
"""Operations.

CPU
    Holds the loop for ``value``; a share ``second`` of it uses no core.
WAIT
    Suspended for ``value``; ``argument`` is how the loop learns of the end, ``second`` the CPU of
    a waking thread.
ASK
    Suspended until peer ``argument`` has served a call for ``value``, through a socket.
NEXT
    Suspended until a peer that writes by its own clock has written again: for ``value`` from when
    it wrote before. Not suspended if that was read together with what came before.
YIELD
    Back into the ready queue at once.
ACQUIRE, RELEASE
    Takes and gives back a slot of station ``argument``.
THREAD
    In the thread pool: ``value`` of CPU under the GIL, ``second`` off the GIL.
CALL
    In the thread pool: the code from ``argument`` to its END.
RESPOND
    The response is complete.
FORK
    Starts the tasks of ``forks[argument]`` and waits for what ``kind`` says.
REPEAT, AGAIN
    Run what is between them ``value`` times; ``argument`` is where the other one leads. With
    ``kind`` 1 what a peer writes in it follows what the task waited for before.
CHOOSE
    Goes on at ``choices[argument][value]``.
JUMP
    Goes on at ``argument``.
MARK
    Notes which path the request takes: ``argument``; it fails if ``second`` is not 0.
LIMIT
    Passes limit ``argument``, at once, later, or not at all.
END
    The request, or the task of a fork, is over.
"""

ALL, FIRST, NONE = range(3)
"""Of the tasks that a fork starts it waits for these; the losers of the first are cancelled."""

PYTHON, NATIVE = range(2)
"""Kinds of code: what has the GIL, and what needs a core without it."""

SOCKET, TIMER, BY_THREAD = range(3)
"""How a loop learns that a wait is over."""


@dataclass(frozen=True, slots=True)
class Branch:
    """Equal tasks of a fork: where their program begins, and how many there are."""

    entry: int
    node: int
    """Node that draws how many; -1 for always ``count``."""
    count: int


@dataclass(slots=True)
class Code:
    """Operations, one entry each, and the nodes that draw their values."""

    operation: list[int] = field(default_factory=list)
    argument: list[int] = field(default_factory=list)
    kind: list[int] = field(default_factory=list)
    """Which kind of wait its time is booked under; of code, ``PYTHON`` or ``NATIVE``."""
    value: list[float] = field(default_factory=list)
    """Seconds, or a number; used where ``node`` is -1."""
    second: list[float] = field(default_factory=list)
    node: list[int] = field(default_factory=list)
    second_node: list[int] = field(default_factory=list)
    forks: list[list[Branch]] = field(default_factory=list)
    choices: list[list[int]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    """What each node is called: its name decides what it draws."""
    tables: list[Table] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    """Part of the requests that need a node's value."""
    sizes: list[float] = field(default_factory=list)
    """How far a node follows the size of its request."""
    rounds: list[float] = field(default_factory=list)
    """How many values of a node a request is expected to need one after the other."""
    own: list[int] = field(default_factory=list)
    """Number of the endpoint's code that a place runs; -1 where nothing keeps it warm."""
    shared: list[int] = field(default_factory=list)
    """The same of what endpoints share."""
    footprints: Footprints = field(default_factory=Footprints)

    def __len__(self) -> int:
        return len(self.operation)

    def add(
        self,
        operation: int,
        argument: int = 0,
        *,
        kind: int = 0,
        value: float = 0.0,
        second: float = 0.0,
        node: int = -1,
        second_node: int = -1,
        prints: tuple[int, int] = (-1, -1),
    ) -> int:
        """Append an operation and return its place; ``prints`` are ``own`` and ``shared``."""
        self.operation.append(operation)
        self.argument.append(argument)
        self.kind.append(kind)
        self.value.append(value)
        self.second.append(second)
        self.node.append(node)
        self.second_node.append(second_node)
        self.own.append(prints[0])
        self.shared.append(prints[1])
        return len(self.operation) - 1

    def draw(
        self, name: str, table: Table, share: float, size: float = 0.0, rounds: float = 1.0
    ) -> int:
        """Add a node that draws from a table and return its number."""
        self.names.append(name)
        self.tables.append(table)
        self.shares.append(share)
        self.sizes.append(size)
        self.rounds.append(rounds)
        return len(self.names) - 1

    def cancels(self) -> bool:
        """Tell whether any fork cancels tasks."""
        pairs = zip(self.operation, self.kind, strict=True)
        return any(operation == FORK and kind == FIRST for operation, kind in pairs)

    def native(self) -> bool:
        """Tell whether any code needs a core without the GIL."""
        pairs = zip(self.operation, self.kind, strict=True)
        return any(operation == CPU and kind == NATIVE for operation, kind in pairs)

    def uses_threads(self) -> bool:
        """Tell whether any operation gives work to a thread."""
        by_thread = (
            operation == WAIT and argument == BY_THREAD and second > 0.0
            for operation, argument, second in zip(
                self.operation, self.argument, self.second, strict=True
            )
        )
        return THREAD in self.operation or CALL in self.operation or any(by_thread)
