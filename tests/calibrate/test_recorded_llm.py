"""Calls to language models, read back from a recorded timeline."""

from typing import Any

import pytest

from fastsim import spans
from fastsim.calibrate.recorded import LlmCall, decode_timeline
from fastsim.errors import FileFormatError
from fastsim.spans import Attributes
from tests.calibrate.timeline_story import attributes

MS = 1_000_000
STORY = (("cpu", 0, 1), ("llm", 1, 4), ("cpu", 5, 1), ("http", 6, 4), ("cpu", 10, 1))


def recorded(**columns: Any) -> Attributes:
    """Describe one call around the first wait, with some columns replaced."""
    found = attributes(*STORY)
    found |= {
        spans.LLM_START_NS: [MS // 2],
        spans.LLM_WALL_NS: [5 * MS],
        spans.LLM_TASK: [0],
        spans.LLM_MODEL: ["small"],
        spans.LLM_PROVIDER: ["openai"],
        spans.LLM_STREAMED: [True],
        spans.LLM_INPUT_TOKENS: [11],
        spans.LLM_OUTPUT_TOKENS: [-1],
        spans.LLM_CACHED_TOKENS: [0],
        spans.LLM_REASONING_TOKENS: [-1],
        spans.LLM_FIRST_CHUNK_NS: [2 * MS],
        spans.LLM_CHUNKS: [-1],
    }
    return found | {getattr(spans, f"LLM_{name.upper()}"): value for name, value in columns.items()}


def calls(**columns: Any) -> tuple[LlmCall, ...]:
    timeline = decode_timeline(recorded(**columns))
    assert timeline is not None
    return timeline.llm_calls


def test_a_call_is_read_in_seconds_with_none_for_unknown() -> None:
    [call] = calls()
    assert call == LlmCall(
        step=1,
        start_s=0.0005,
        wall_s=0.005,
        task=0,
        model="small",
        provider="openai",
        streamed=True,
        input_tokens=11,
        output_tokens=None,
        cached_tokens=0,
        reasoning_tokens=None,
        first_chunk_s=0.002,
        chunks=None,
    )


@pytest.mark.parametrize(
    ("start_ms", "task", "step"),
    [(0, 0, 1), (5, 0, 3), (0, 2, None), (10, 0, None)],
    ids=["its wait", "a wait for HTTP, where nothing better is known", "other task", "later"],
)
def test_the_first_wait_of_its_task_inside_it_is_its_own(
    start_ms: int, task: int, step: int | None
) -> None:
    [call] = calls(start_ns=[start_ms * MS], task=[task])
    assert call.step == step


def test_requests_without_calls_have_none() -> None:
    timeline = decode_timeline(attributes(*STORY))
    assert timeline is not None
    assert timeline.llm_calls == ()


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"model": ["a", "b"]}, "unequal length"),
        ({"chunks": []}, "unequal length"),
        ({"input_tokens": [-2]}, "impossible values"),
        ({"output_tokens": [1.5]}, "impossible values"),
        ({"wall_ns": [-1]}, "impossible values"),
        ({"provider": [None]}, "impossible values"),
        ({"first_chunk_ns": "soon"}, "no list"),
    ],
)
def test_damaged_columns_are_refused(columns: dict[str, Any], reason: str) -> None:
    with pytest.raises(FileFormatError, match=reason):
        calls(**columns)
