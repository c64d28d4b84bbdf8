"""Runs that somebody waits for later: threads of which each gives the interpreter's lock up while its Plan runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from ..core.device import get_num_threads

MOST = 16  # threads


class Pending(Future[Any]):
    """The result of a run that may not be over: a concurrent.futures.Future that can also be awaited."""

    def __await__(self) -> Generator[Any, None, Any]:
        import asyncio

        return asyncio.wrap_future(self).__await__()


_executor: ThreadPoolExecutor | None = None


def start(f: Callable[..., Any], *args: Any) -> Pending:
    """f(*args), begun in another thread. There are at least two, so that one long run does not hold up the others."""
    global _executor
    if _executor is None:
        _executor = ThreadPoolExecutor(max(2, min(MOST, get_num_threads())), "accelnn-run")
    pending = Pending()
    _executor.submit(_do, pending, f, args)
    return pending


def _do(pending: Pending, f: Callable[..., Any], args: tuple[Any, ...]) -> None:
    if not pending.set_running_or_notify_cancel():
        return
    try:
        result = f(*args)
    except BaseException as problem:
        pending.set_exception(problem)
    else:
        pending.set_result(result)


def _forget() -> None:
    """A forked child has none of the threads."""
    global _executor
    _executor = None


os.register_at_fork(after_in_child=_forget)
