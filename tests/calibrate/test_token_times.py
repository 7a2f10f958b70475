"""What of a language model's time goes with the tokens that it writes."""

import numpy as np
import pytest

from fastsim import spans
from fastsim.calibrate.recorded import decode_timeline
from fastsim.calibrate.timeline import normalise
from fastsim.calibrate.token_times import LEAST_CALLS, fit_tokens
from fastsim.means import mean_count
from tests.calibrate.test_recorded_llm import MS, recorded
from tests.calibrate.timeline_story import Row, attributes

Floats = np.ndarray


def calls(count: int = 400, *, seed: int = 1) -> tuple[Floats, Floats]:
    """Times and tokens of calls of 0.4 s and 12 ms a token, all of it 20 % more or less."""
    rng = np.random.default_rng(seed)
    tokens = np.maximum(rng.lognormal(5.0, 0.7, count), 1.0).astype(np.int64)
    return (0.4 + 0.012 * tokens) * np.exp(0.2 * rng.standard_normal(count)), tokens


@pytest.mark.parametrize("seed", range(5))
def test_each_token_takes_its_time(seed: int) -> None:
    time_s, tokens = calls(seed=seed)
    found = fit_tokens(time_s, time_s, tokens)
    assert found is not None
    # The law is right in the mean: exp(0.02) of what was drawn.
    assert found.each == pytest.approx(0.012 * np.exp(0.02), rel=0.1)
    assert found.explained > 0.6
    assert mean_count(found.output) == pytest.approx(tokens.mean(), rel=0.01)
    assert found.spread == pytest.approx(0.2, rel=0.15)
    whole = found.first + found.each * tokens.mean()
    assert whole == pytest.approx(time_s.mean(), rel=0.03)


def test_waits_known_within_bounds_do_as_well() -> None:
    time_s, tokens = calls()
    found = fit_tokens(time_s - 0.05, time_s + 0.05, tokens)
    assert found is not None
    assert found.each == pytest.approx(0.012, rel=0.15)


def test_tokens_that_mean_nothing_are_not_taken_for_the_cause() -> None:
    """One chance in 10,000 each: none of a hundred."""
    for seed in range(100):
        time_s, _ = calls(200, seed=seed)
        _, others = calls(200, seed=seed + 1000)
        assert fit_tokens(time_s, time_s, others) is None


def test_what_cannot_be_told_is_not() -> None:
    time_s, tokens = calls(LEAST_CALLS - 1)
    assert fit_tokens(time_s, time_s, tokens) is None
    time_s, tokens = calls()
    assert fit_tokens(time_s, time_s, np.full_like(tokens, 80)) is None
    assert fit_tokens(np.ones(400), np.ones(400), tokens) is None
    unknown = tokens.copy()
    unknown[::2] = -1
    unknown[1] = -1
    assert fit_tokens(time_s, time_s, unknown) is None


def test_nothing_begins_before_the_call() -> None:
    """Where a line would begin below 0, it begins there."""
    time_s, tokens = calls()
    found = fit_tokens(time_s - 0.399, time_s - 0.399, tokens)
    assert found is None or found.first >= 0.0
    squared = 0.0001 * tokens.astype(float) ** 2
    grows = fit_tokens(squared, squared, tokens)
    assert grows is not None
    assert grows.first == 0.0


def test_a_wait_has_the_tokens_of_its_call() -> None:
    def tokens_of(**columns: object) -> list[int]:
        timeline = decode_timeline(recorded(**columns))
        assert timeline is not None
        return [step.tokens for step in normalise(timeline) if step.do == "wait"]

    # The first wait is the language model's, the second is another service's.
    assert tokens_of(output_tokens=[70], streamed=[False]) == [70, -1]
    assert tokens_of(output_tokens=[-1], streamed=[False]) == [-1, -1]
    # Chunks of a stream are counted themselves.
    assert tokens_of(output_tokens=[70], streamed=[True]) == [-1, -1]


def gathered(waits_ms: tuple[float, float], tokens: tuple[int, int]) -> list[int]:
    """Two calls side by side, each of which connects for 1 ms first; their tokens by branch."""
    rows: list[Row] = [("cpu", 0.0, 1.0)]
    for task, wait_ms in enumerate(waits_ms, 1):
        own = {"task": task, "label": "small"}
        rows += [
            ("cpu", float(task), 0.5, {"task": task}),
            ("llm", task + 0.5, 1.0, own),
            ("cpu", task + 1.5, 0.1, {"task": task}),
            ("llm", task + 1.6, wait_ms, own),
            ("cpu", task + 1.6 + wait_ms, 0.1, {"task": task}),
        ]
    over = 5.0 + max(waits_ms)
    rows += [("io", 1.0, over - 1.0, {"via": "loop", "label": "join"}), ("cpu", over, 1.0)]
    found = attributes(*rows, response=over + 1.0)
    found |= {
        spans.TASK_PARENT: [0, 0],
        spans.LLM_START_NS: [round((task + 0.4) * MS) for task in (1, 2)],
        spans.LLM_WALL_NS: [round((wait_ms + 1.3) * MS) for wait_ms in waits_ms],
        spans.LLM_TASK: [1, 2],
        spans.LLM_OUTPUT_TOKENS: list(tokens),
    }
    found[spans.LLM_MODEL] = ["small"] * 2
    found[spans.LLM_PROVIDER] = ["openai"] * 2
    found[spans.LLM_STREAMED] = [False] * 2
    for name in ("INPUT_TOKENS", "CACHED_TOKENS", "REASONING_TOKENS", "FIRST_CHUNK_NS", "CHUNKS"):
        found[getattr(spans, f"LLM_{name}")] = [-1] * 2
    timeline = decode_timeline(found)
    assert timeline is not None
    [parallel] = [step for step in normalise(timeline) if step.do == "parallel"]
    return [step.tokens for branch in parallel.branches for step in branch if step.do == "wait"]


def test_calls_side_by_side_have_their_own_tokens() -> None:
    """The longest wait of each has the answer, the one before it connects."""
    assert gathered((20.0, 9.0), (300, 80)) == [-1, 300, -1, 80]
