"""Steps arrive as they were packed, whatever they hold."""

from hypothesis import given
from hypothesis import strategies as st

from fastsim.step_columns import StepRow, pack_steps, unpack_steps

NUMBER = st.integers(0, 2**63 - 1)
WORD = st.text(max_size=12).filter(lambda text: "\t" not in text)
ROW = st.tuples(
    WORD, WORD, NUMBER, NUMBER, NUMBER, NUMBER, NUMBER, NUMBER, WORD, WORD, st.integers(0, 500)
)


@given(st.lists(ROW, max_size=30))
def test_what_is_packed_comes_out(rows: list[StepRow]) -> None:
    found = unpack_steps(*pack_steps(rows))
    kind, via, label, where, *numbers = found
    again = [
        (k, v, *six, la, w, task)
        for k, v, la, w, *six, task in zip(kind, via, label, where, *numbers, strict=True)
    ]
    assert again == rows


def test_each_name_is_there_once() -> None:
    step = ("db", "socket", 1, 2, 0, 0, 0, 0, "asyncpg", "a.py:1 f", 0)
    packed, names = pack_steps([step] * 100)
    assert names == ["db\tsocket\tasyncpg\ta.py:1 f"]
    assert len(packed) < 100 * 90


def test_a_tab_in_a_name_does_not_break_it() -> None:
    found = unpack_steps(*pack_steps([("db", "socket", 1, 2, 0, 0, 0, 0, "a\tb", "", 0)]))
    assert found.label == ("a b",)
