"""One ordered map for every executor, with a bound on what is held at a time."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(
    task: Callable[[Item], Result], items: Iterable[Item], executor: Executor | None, in_flight: int
) -> Iterator[Result]:
    """Yield task(item) in the order of `items`, computed by threads, processes or a cluster.

    executor: None computes in place, when asked. in_flight: tasks in work, or done, beside the one awaited: so many
    results are held at most. What a task raises is raised in its turn. Tasks that have not started when the iteration
    ends never do.
    """
    if executor is None:
        yield from map(task, items)
        return
    waiting: deque[Future] = deque()
    try:
        for item in items:
            waiting.append(executor.submit(task, item))
            if len(waiting) > in_flight:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for one in waiting:
            one.cancel()


class InPlaceExecutor(Executor):
    """Computes when a task is handed in, in the thread that does it."""

    def submit(self, task: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future:
        """A future that is done; what the task raised is raised when its result is asked for."""
        future: Future = Future()
        try:
            future.set_result(task(*arguments, **named))
        except Exception as error:
            future.set_exception(error)
        return future
