"""CPython's own event loop under a virtual clock: services without the machine's noise.

Everything is the real thing (tasks, futures, timers, semaphores, FastAPI, the recorder) but
the clock and the kernel: waiting moves the clock to the next event, and code takes the time
it is told to burn. So results are exact, the same everywhere, and need no patience.
"""
