"""The trace records FastSim writes and reads, and the names of its attributes.

Standard library only: the collector imports this inside production services.
Times are integer nanoseconds, as in OTLP; names say so (``_ns``).

A request is one SERVER span. FastSim adds its *timeline* to it: the steps the
request's code took, in time order. A step is either a stretch of code on the
event loop (kind ``cpu``) or a suspension (any other kind).
"""

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

FORMAT_VERSION = 4

RECENT_NS = 20_000_000
"""Time constant of the recent idle share (found by experiment: docs/decisions/0004)."""

AttributeValue = str | bool | int | float | list[str] | list[bool] | list[int] | list[float] | None
Attributes = dict[str, AttributeValue]


class SpanKind(IntEnum):
    """Span kinds with their OTLP numbers."""

    UNSPECIFIED = 0
    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4
    CONSUMER = 5


class StatusCode(IntEnum):
    """Span status with its OTLP numbers."""

    UNSET = 0
    OK = 1
    ERROR = 2


class StepKind(StrEnum):
    """What a step of a request does or waits for."""

    CPU = "cpu"
    BLOCKING = "blocking"
    DB = "db"
    HTTP = "http"
    CACHE = "cache"
    LLM = "llm"
    THREAD = "thread"
    POOL = "pool"
    SLEEP = "sleep"
    IO = "io"


class Via(StrEnum):
    """How the event loop learns that a step's wait is over.

    It decides the mechanics of the wake-up: a socket becomes readable, a timer
    falls due (rounded up to a millisecond when the loop is idle), another thread
    calls back (and needs the GIL), or code on the loop itself wakes the waiter.
    """

    LOOP = "loop"
    SOCKET = "socket"
    TIMER = "timer"
    THREAD = "thread"


class Outcome(StrEnum):
    """How a request ended."""

    COMPLETED = "completed"
    ERROR = "error"
    """The application raised."""
    DISCONNECTED = "disconnected"
    """The client left before the answer was complete."""
    CANCELLED = "cancelled"


@dataclass(slots=True)
class Span:
    """One span, whatever the format it was read from."""

    trace_id: str
    span_id: str
    parent_id: str | None
    kind: SpanKind
    name: str
    start_ns: int
    end_ns: int
    service: str = ""
    instance: str = ""
    scope: str = ""
    attributes: Attributes = field(default_factory=dict)
    resource: Attributes = field(default_factory=dict)
    status: StatusCode = StatusCode.UNSET
    trace_state: str = ""
    """W3C ``tracestate``, which may say with what probability the trace was kept."""


# --- on every recorded server span -------------------------------------------------------
FORMAT = "fastsim.format"
"""int: FORMAT_VERSION; its presence says the span carries a timeline."""
START_UNIX_NS = "fastsim.start_ns"
"""int: wall clock at the first instruction of the application for this request."""
START_CLOCK_NS = "fastsim.start_clock_ns"
"""int: the same instant on the process's monotonic clock (comparable within one process)."""
RESPONSE_NS = "fastsim.response_ns"
"""int: from start to the end of the last body ``send``; -1 when no response was finished."""
END_NS = "fastsim.end_ns"
"""int: from start to the return of the application's coroutine (main task)."""
STEPS_DROPPED = "fastsim.steps_dropped"
"""int: rows of STEPS beyond the per-request limit, not recorded; absent or 0 normally."""

OUTCOME = "fastsim.outcome"
"""str: Outcome; absent when completed."""
TASKS_CUT = "fastsim.tasks_cut"
"""int: tasks that still ran when the record was closed, a while after the response."""

BLOCK_AT_NS = "fastsim.block.at_ns"
"""int[]: code that held the loop long (wall - cpu above 5 ms, or wall above 50 ms): offset from
START_CLOCK_NS. All BLOCK_* columns have equal length."""
BLOCK_WALL_NS = "fastsim.block.wall_ns"
"""int[]: how long it held the loop."""
BLOCK_CPU_NS = "fastsim.block.cpu_ns"
"""int[]: its CPU; the rest was blocking, waiting for the GIL, or taken by the machine."""
BLOCK_WHERE = "fastsim.block.where"
"""str[]: the service's own line then running, ``file.py:12 function``; empty if not seen."""
BLOCK_CALLED = "fastsim.block.called"
"""str[]: the library function that line had called; empty if none or unknown."""

STEPS = "fastsim.steps"
"""str: packed as ``fastsim.step_columns`` says, a row of twelve numbers for each stretch of code
and the wait before it, as the recorder stamped them; instants are on the clock of START_CLOCK_NS.

- number of the wait's name in STEP_NAMES; 0: there was none;
- task: 0 is the request's main task, 1.. are child tasks in order of creation;
- suspended: when the wait began;
- resumed: when the wait ended and the code began;
- wall: length of the code; -1: there was none;
- cpu: thread CPU of the code;
- after: the wait was over after this instant (what was later is queueing);
- before: the wait was over before this instant; -1: before it resumed. Equal to ``after`` when
  the loop was idle and the moment is known exactly;
- known: the wait itself where the code says it (``asyncio.sleep``), -1: unknown;
- gap: how long the loop slept just before the code (0 when other code ran since);
- awake: when the loop last woke, the share of RECENT_NS before that it had slept, exponentially
  weighted, in parts per million: code costs more on a cold processor, this says how cold;
- woke: when that was."""
STEP_NAMES = "fastsim.step.names"
"""str[]: number, kind (StepKind), via (Via), label (library or peer that was waited for) and the
user's own frame, ``file.py:12 function``, separated by tabs."""

TASK_PARENT = "fastsim.task.parent"
"""int[]: which task created task 1, task 2, ...: its number, 0 for the main task, -1 when
none of the request's own did. Absent when there is one task only."""

RESOURCE_EVENTS = "fastsim.resource.events"
"""str: a line for each event, in time order: ``acquire`` or ``WOKEN`` (the moment it was granted)
or ``release``, the resource, the offset from START_CLOCK_NS in nanoseconds, and its capacity in
this process (0 = unknown), separated by tabs."""
WOKEN = "woken"
"""Instead of ``acquire``: a slot of an ``asyncio.Semaphore``, which wakes who waits for one."""

THREAD_CALLS = "fastsim.thread.calls"
"""str: packed like STEPS, four numbers for each call: the row of STEPS with the wait that it
caused; from submission to the first instruction in the thread, time and CPU inside it, in
nanoseconds."""

LLM_START_NS = "fastsim.llm.start_ns"
"""int[]: calls to language models, in the order of their ends: offset from START_CLOCK_NS. All
LLM_* columns have equal length; unknown numbers are -1, unknown names empty. The waits of a
call are the steps of its task inside it (of a stream: of the task that reads it)."""
LLM_WALL_NS = "fastsim.llm.wall_ns"
"""int[]: from the call to its answer, of a stream to the last chunk that was read."""
LLM_TASK = "fastsim.llm.task"
"""int[]: number of the task that made the call, as of a step."""
LLM_MODEL = "fastsim.llm.model"
"""str[]: the model that answered, else the one asked for."""
LLM_PROVIDER = "fastsim.llm.provider"
"""str[]: as OpenTelemetry names them: ``openai``, ``anthropic``, ``aws.bedrock``, ..."""
LLM_STREAMED = "fastsim.llm.streamed"
"""bool[]: the answer came in chunks."""
LLM_INPUT_TOKENS = "fastsim.llm.input_tokens"
"""int[]: all tokens of the input, cached ones included."""
LLM_OUTPUT_TOKENS = "fastsim.llm.output_tokens"
"""int[]: all tokens of the output, reasoning included."""
LLM_CACHED_TOKENS = "fastsim.llm.cached_tokens"
"""int[]: input tokens that the provider had in its cache."""
LLM_REASONING_TOKENS = "fastsim.llm.reasoning_tokens"
"""int[]: output tokens that are not part of the visible answer."""
LLM_FIRST_CHUNK_NS = "fastsim.llm.first_chunk_ns"
"""int[]: from the call to the first chunk with a part of the answer."""
LLM_CHUNKS = "fastsim.llm.chunks"
"""int[]: chunks with a part of the answer: about the output tokens where those are unknown."""

# --- cumulative counters of the process, read when the request was over -----------------------
# Requests that ended within a moment share one reading: the first of them in a line carries it.
REQUESTS_SEEN = "fastsim.requests_seen"
"""int: requests started in this process, recorded or not."""
SEGMENT_WALL_NS = "fastsim.segment_wall_ns"
"""int: on-loop time of all recorded requests."""
SEGMENT_CPU_NS = "fastsim.segment_cpu_ns"
"""int: on-loop CPU of all recorded requests."""
LOOP_CPU_NS = "fastsim.loop_cpu_ns"
"""int: CPU of the event-loop thread."""
PROCESS_CPU_NS = "fastsim.process_cpu_ns"
"""int: CPU of the whole process."""
LOOP_BUSY_NS = "fastsim.loop_busy_ns"
"""int: time the event loop was not idle in ``select``; absent on uvloop."""
LOOP_PASSES = "fastsim.loop_passes"
"""int: turns of the event loop; absent on uvloop."""
SLEEP_CPU_NS = "fastsim.sleep_cpu_ns"
"""CPU of the loop's thread inside polls that slept: of the kernel, no time of the loop's."""
IDLE_WAKEUPS = "fastsim.idle_wakeups"
"""int: times the loop woke from an idle ``select``; absent on uvloop."""
CORE_WAIT_NS = "fastsim.core_wait_ns"
"""int: time that the event-loop thread was ready to run and had no core, because other threads or
processes had it; read about ten times a second; absent where the system does not say."""
RECORDER_CPU_NS = "fastsim.recorder_cpu_ns"
"""int: CPU of the recorder's own writer thread."""
RECORDER_LOOP_NS = "fastsim.recorder_loop_ns"
"""int: time that recording itself took on the event loop."""
BACKGROUND_WALL_NS = "fastsim.background_wall_ns"
"""int: time on the event loop of the service's own tasks that belong to no request."""
BACKGROUND_CPU_NS = "fastsim.background_cpu_ns"
"""int: their CPU."""
SPANS_DROPPED = "fastsim.spans_dropped"
"""int: spans lost because the writer's queue was full."""

# --- on a span of the event loop's own, about once a second -----------------------------------
LOOP_SPAN_NAME = "fastsim event loop"
LOOP_AT_NS = "fastsim.loop.at_ns"
"""int[]: start of each window on the process's monotonic clock. All LOOP_* have equal length."""
LOOP_WINDOW_NS = "fastsim.loop.window_ns"
"""int[]: length of the window."""
LOOP_WINDOW_BUSY_NS = "fastsim.loop.window_busy_ns"
"""int[]: time in the window that the loop did not sleep in ``select``; absent on uvloop."""
BACKGROUND_NAME = "fastsim.background.name"
"""str[]: tasks that belong to no request, by the name of their coroutine, and websockets by route.
All BACKGROUND_* columns have equal length; sums since the span before; absent when none ran."""
BACKGROUND_LOOP_NS = "fastsim.background.loop_ns"
"""int[]: time on the event loop."""
BACKGROUND_RUNS = "fastsim.background.runs"
"""int[]: how often they ran."""
BACKGROUND_SQUARE_US2 = "fastsim.background.square_us2"
"""int[]: sum of the squares of the times they took, square microseconds."""
LOOP_LAG_MEAN_NS = "fastsim.loop.lag_mean_ns"
"""int[]: how long an event that becomes ready at a random moment waits to be noticed. On
uvloop: how late a sleeping task woke."""
LOOP_LAG_MAX_NS = "fastsim.loop.lag_max_ns"
"""int[]: the longest such wait in the window."""
LOOP_IN_FLIGHT = "fastsim.loop.in_flight"
"""int[]: requests being served at the end of the window."""
TIMER_WAKES = "fastsim.loop.timer_wakes"
"""int: how often a timer ended the loop's sleep since the last span; absent when none did."""
TIMER_LATE_NS = "fastsim.loop.timer_late_ns"
"""int: how late, summed, beyond the whole milliseconds that the loop slept."""
GC_AT_NS = "fastsim.gc.at_ns"
"""int[]: full garbage collections since the last span: start on the monotonic clock."""
GC_NS = "fastsim.gc.ns"
"""int[]: their lengths."""

# --- on the resource, once per process -------------------------------------------------------
PROCESS_WORKERS = "fastsim.process.workers"
PROCESS_LOOP = "fastsim.process.loop"
PROCESS_CORES = "fastsim.process.cores"
PROCESS_CPU_QUOTA = "fastsim.process.cpu_quota"
PROCESS_THREAD_TOKENS = "fastsim.process.thread_tokens"
PROCESS_GIL = "fastsim.process.gil"
PROCESS_LIMIT_CONCURRENCY = "fastsim.process.limit_concurrency"
PROCESS_TIMER_REQUEST_NS = "fastsim.process.timer_request_ns"
"""int: CPU that recording costs the event loop per request, measured when recording began."""
PROCESS_TIMER_STEP_NS = "fastsim.process.timer_step_ns"
"""int: the same per step; a wait and the code after it are two."""
PROCESS_TIMER_TURN_NS = "fastsim.process.timer_turn_ns"
"""int: CPU that watching the loop costs in each of its passes; 0 where polls are not seen."""
PROCESS_SAMPLE_RATIO = "fastsim.process.sample_ratio"
PROCESS_MODE = "fastsim.process.mode"
"""str: ``auto``, ``full`` or ``light``, see ``fastsim.collector.destination.Mode``."""
PROCESS_OPENTELEMETRY = "fastsim.process.opentelemetry"
"""bool: OpenTelemetry made the server spans; its cost is part of the service's own code."""
PROCESS_MACHINE_CORES = "fastsim.process.machine_cores"
"""int: cores of the machine; PROCESS_CORES is how many of them the process may use."""
PROCESS_VERSIONS = "fastsim.process.versions"
"""str[]: ``name==version`` of FastSim, FastAPI, Starlette, Uvicorn and what they run on."""
PROCESS_HTTP = "fastsim.process.http"
"""str: Uvicorn's HTTP parser, ``h11`` or ``httptools``."""
PROCESS_BACKLOG = "fastsim.process.backlog"
PROCESS_KEEP_ALIVE_S = "fastsim.process.keep_alive_s"
PROCESS_LIMIT_MAX_REQUESTS = "fastsim.process.limit_max_requests"
