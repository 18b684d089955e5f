"""One ordered map for every executor, with a bound on what is held at a time."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
# Called with a task and items, as ``map`` is: yields task(item) in the order of the items, wherever it is computed.
OrderedMap = Callable[[Callable[[Item], Result], Iterable[Item]], Iterator[Result]]

# Tasks in flight for each worker: enough to keep all busy, few enough to bound memory.
_TASKS_A_WORKER = 3


def over(executor: Executor, workers: int | Callable[[], int]) -> OrderedMap:
    """`ordered_map` by `executor`, which works on so many tasks at a time; asked again and again where that changes."""
    ask = workers if callable(workers) else lambda: workers
    return partial(ordered_map, executor=executor, in_flight=lambda: _TASKS_A_WORKER * ask())


def ordered_map(
    task: Callable[[Item], Result],
    items: Iterable[Item],
    executor: Executor | None,
    in_flight: int | Callable[[], int],
) -> Iterator[Result]:
    """Yield task(item) in the order of `items`, computed by threads, processes or a cluster.

    executor: None computes in place, when asked. in_flight: tasks in work, or done, beside the one awaited: so many
    results are held at most; a function where the number changes. What a task raises is raised in its turn. Tasks that
    have not started when the iteration ends never do.
    """
    if executor is None:
        yield from map(task, items)
        return
    most = in_flight if callable(in_flight) else lambda: in_flight
    waiting: deque[Future] = deque()
    try:
        for item in items:
            waiting.append(executor.submit(task, item))
            while len(waiting) > most():
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for one in waiting:
            one.cancel()


in_place: OrderedMap = partial(ordered_map, executor=None, in_flight=0)


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
