"""Processes leave word of how far the recorder came."""

from pathlib import Path

import pytest

from fastsim.collector.notes import ATTACHED, ENV_NOTES, LOADED, leave_note, read_notes


def test_notes_are_counted_by_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV_NOTES, str(tmp_path))
    for _ in range(2):
        leave_note(LOADED)
    (tmp_path / "7.loaded").touch()
    leave_note(ATTACHED)
    for pid in (8, 9):
        (tmp_path / f"{pid}.failed").write_text("too old")
    found = read_notes(tmp_path)
    assert (found.loaded, found.attached, found.failures) == (2, 1, ("too old",))


def test_nobody_is_disturbed_where_nobody_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(ENV_NOTES, raising=False)
    leave_note(LOADED)
    monkeypatch.setenv(ENV_NOTES, str(tmp_path / "gone"))
    leave_note(LOADED)
    assert list(tmp_path.iterdir()) == []
