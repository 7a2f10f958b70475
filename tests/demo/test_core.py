"""What others took of a process's core."""

import os
from pathlib import Path

import pytest

from fastsim.demo.core import CoreAccount


def test_what_others_took_is_what_own_threads_cannot_have_taken() -> None:
    before = CoreAccount(1_000, 100, 50)
    assert CoreAccount(1_600, 500, 50).taken_since(before) == pytest.approx(0.4)
    assert CoreAccount(1_600, 500, 350).taken_since(before) == pytest.approx(0.1)
    assert CoreAccount(1_600, 500, 950).taken_since(before) == 0.0
    assert before.taken_since(before) == 0.0


def test_a_process_that_is_gone_has_none() -> None:
    assert CoreAccount.of(2**22 + 1) is None


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="Linux keeps it")
def test_this_process_has_one() -> None:
    found = CoreAccount.of(os.getpid())
    assert found is not None
    assert found.ran > 0
