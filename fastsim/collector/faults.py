"""Where the recorder's own errors go: counted and kept, never raised into the service."""

import logging

_logger = logging.getLogger("fastsim.collector")


class _Faults:
    count = 0


def note_fault(fault: BaseException) -> None:
    """Count one internal error; the first is logged with its traceback, the rest are not."""
    _Faults.count += 1
    if _Faults.count == 1:
        _logger.warning("recording disturbed, the service is not affected", exc_info=fault)


def fault_count() -> int:
    """Return how many internal errors there were in this process."""
    return _Faults.count
