"""How long a thread had no core, as the kernel says."""

from pathlib import Path

import pytest

from fastsim.collector import clocks


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("7000 1234 5\n", 1234),
        ("7000 0 5\n", 0),
        ("0 0 0\n", -1),  # no such account is kept
        ("7000 1234", -1),
        ("a b c", -1),
        ("", -1),
        (None, -1),
    ],
)
def test_what_the_kernel_says_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, found: int
) -> None:
    if text is not None:
        (tmp_path / "schedstat").write_text(text)
    monkeypatch.setattr(clocks, "_OF_THIS_THREAD", str(tmp_path / "schedstat"))
    assert clocks.core_wait_ns() == found


@pytest.mark.skipif(not Path("/proc/thread-self/schedstat").exists(), reason="Linux says it")
def test_this_machine_says_it() -> None:
    first, second = clocks.core_wait_ns(), clocks.core_wait_ns()
    assert 0 <= first <= second
