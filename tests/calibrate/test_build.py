"""Building a model, beside what its parts do."""

from threadpoolctl import threadpool_info, threadpool_limits

from fastsim.calibrate.build import build_model
from tests.calibrate.test_exposure import recorded


def blas_threads() -> set[int]:
    return {int(each["num_threads"]) for each in threadpool_info() if each["user_api"] == "blas"}


def test_laws_are_fitted_on_one_thread() -> None:
    """More would wait for each other, busily; who calls keeps what they had."""
    seen: list[set[int]] = []
    with threadpool_limits(limits=2, user_api="blas"):
        before = blas_threads()
        requests = recorded(*(("one", number * 0.05) for number in range(200)))
        build_model(requests, assume_cpu=0.5, on_progress=lambda *_: seen.append(blas_threads()))
        assert blas_threads() == before
    assert seen
    assert all(each <= {1} for each in seen)
