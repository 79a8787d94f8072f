"""Threads that end with the block that starts them."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager


@contextmanager
def threads() -> Iterator[tuple[Callable[..., Future], Callable[[], bool]]]:
    """Yields start(function, *arguments), which runs a function in a thread and returns its Future,
    and stopped(), which the threads ask. Leaving the block stops them and waits until they have
    ended. They are daemons, unlike an executor's threads, which would hold up the end of a program
    that did not close an iterator."""
    running, stop = [], threading.Event()

    def start(function, *arguments):
        future: Future = Future()

        def work():
            try:
                future.set_result(function(*arguments))
            except BaseException as error:  # raised where the result is asked for
                future.set_exception(error)

        running[:] = [thread for thread in running if thread.is_alive()]
        thread = threading.Thread(target=work, daemon=True)
        thread.start()  # which an interrupt may end, so that it cannot be joined
        running.append(thread)
        return future

    try:
        yield start, stop.is_set
    finally:
        stop.set()
        for thread in running:
            thread.join()


@contextmanager
def repeated(call: Callable[[], object], pause: Callable[[float], float]) -> Iterator[None]:
    """Within the block, a thread calls a function again and again. pause: of the seconds since the
    start, how many to wait. Leaving the block waits for a call that is under way."""
    stop, start = threading.Event(), time.monotonic()

    def work():
        while not stop.wait(pause(time.monotonic() - start)):
            call()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
