"""What a run tells while it goes on: one event for each node that starts, ends, or is left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, final

if TYPE_CHECKING:
    from taskloom._taskloom import Node

__all__ = ["NodeEvent", "teller"]


@final
class NodeEvent(NamedTuple):
    """One thing that happened to a node.

    `kind` is "started", "finished" or, for one that will not run, "left_out". `worker` is the
    number of the worker it happens on, -1 for a thread from outside such as the one that called
    `run`, None for a process. `time` is in seconds of `time.monotonic()`. `status` is "done",
    "failed" or "cancelled" for one that finished, or, if it directed the flow, "ended" or "aborted"
    (or "skipped", for the join of a branch that came to nothing); else None.

    >>> import taskloom
    >>> g = taskloom.Graph()
    >>> _ = g.options(name="one").add(pow, 2, 10)
    >>> seen = []
    >>> _ = taskloom.run(g, on_event=seen.append)
    >>> [(event.kind, event.node.name, event.status) for event in seen]
    [('started', 'one', None), ('finished', 'one', 'done')]
    """

    kind: Literal["started", "finished", "left_out"]
    node: Node[Any]
    worker: int | None
    time: float
    status: Literal["done", "failed", "cancelled", "ended", "aborted", "skipped"] | None


def teller(callback: Callable[[NodeEvent], object]) -> Callable[..., None]:
    """Calls back with a `NodeEvent`. An error of the callback is logged and the run goes on.

    What is no `Exception`, such as `KeyboardInterrupt`, passes: it asks for the end of the run.

    >>> seen = []
    >>> teller(seen.append)("started", None, 0, 1.5, None)
    >>> seen[0].time
    1.5
    """

    def tell(kind: Any, node: Any, worker: int | None, time: float, status: Any) -> None:
        try:
            callback(NodeEvent(kind, node, worker, time, status))
        except Exception:
            import logging

            logging.getLogger("taskloom").exception(
                "on_event failed at node %r, %s; the run goes on", getattr(node, "name", "?"), kind
            )

    return tell
