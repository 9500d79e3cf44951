"""What a run is: its input, its config, its place among other runs."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from taskloom._forking import lock_across_forks
from taskloom.pregel.cells import Cells
from taskloom.pregel.config import ensure_config, merge_configs, recast_ns
from taskloom.pregel.constants import (
    ERROR,
    ERROR_SOURCE_NODE,
    INTERRUPT,
    NODE_FINISHED_KEY,
    NULL_TASK_ID,
    PREVIOUS,
    RESUME,
)
from taskloom.pregel.ids import checkpoint_id as new_checkpoint_id
from taskloom.pregel.types import RunnableConfig, StreamWriter
from taskloom.pregel.validate import warn_no_cache

if TYPE_CHECKING:
    from taskloom.pregel.callbacks import Listeners
    from taskloom.pregel.langchain import Tracing
    from taskloom.pregel.loop import Loop
    from taskloom.pregel.persist import Persistence
    from taskloom.pregel.pregel import Pregel
    from taskloom.pregel.release import Release
    from taskloom.pregel.runtime import RunControl
    from taskloom.pregel.stream import Stream
    from taskloom.pregel.tasks import Task

_LIVE = frozenset(("custom", "messages", "tools"))

# Held while what all tasks of a run share is made, by the first that asks for it.
_making = lock_across_forks()


class Frame:
    """One run of a graph: what it was given, and what its tasks may ask for.

    Args:
        graph: what to run.
        input: the input, a `Command`, or None to go on.
        config: the run's own config, merged with the graph's.
        parent: the task that this run is part of, or None.
        saver: where checkpoints are stored, or None.
        stream: where to emit, or None if nobody reads.
    """

    cells: Cells
    first_format = False  # whether the checkpoint is of LangGraph's first format
    tracing: Tracing | None = None  # what LangChain's callbacks hear; rarely set
    listeners: Listeners | None = None  # who hears of its stops; rarely set
    resumed = False  # whether it goes on from a checkpoint

    def __init__(  # noqa: PLR0915 (it only sets attributes)
        self,
        graph: Pregel,
        input: Any,
        config: RunnableConfig,
        *,
        parent: Task | None = None,
        saver: Any = None,
        stream: Stream | None = None,
        output_keys: str | Sequence[str] | None = None,
        interrupt_before: Any = (),
        interrupt_after: Any = (),
        durability: str = "async",
        context: Any = None,
        control: RunControl | None = None,
        store: Any = None,
    ) -> None:
        self.graph = graph
        self.program = graph.program
        self.input = input
        self.own_config = config
        self.parent = parent
        self.saver = saver
        self.stream = stream
        self.output_keys = graph.output_channels if output_keys is None else output_keys
        self.interrupt_before = interrupt_before
        self.interrupt_after = interrupt_after
        self.durability = durability
        self.context = context
        if control is None and parent is not None:
            control = parent.loop.control
        self._control = control
        self.store: Any = graph.store if parent is None else parent.loop.store
        if parent is None and store is not None:
            self.store = store
        self.cache = graph.cache
        if self.cache is None and parent is not None:
            self.cache = parent.loop.cache
        if self.cache is None and self.program.caching is not None:
            warn_no_cache(self.program.caching)
        self.subgraph_index = 0 if parent is None else parent.reserve_subgraph()
        self.lock = threading.Lock()
        self.step = -1
        limit = config.get("recursion_limit")
        if limit is None:
            limit = graph.default_recursion_limit if parent is None else parent.loop.limit
        self.limit: int = limit
        self.stop = limit
        self.status = "input"
        self.tasks: list[Task] = []
        self.ordered = 1  # so many tasks, if there are no others, were planned in their order
        self.timed = False
        self.calls: dict[int, Task] = {}
        self.calls_queued: deque[Callable[[], None]] = deque()
        self.calls_running = 0
        self.call_gate: asyncio.Semaphore | None = None
        self.updated: list[str] | None = None
        self.verify = False
        self.pending: list[tuple[str, str, Any]] = []
        self.interrupts: list[Any] = []
        self.resuming: bool | None = None
        self.replaying = False
        self.resume_map: dict[str, Any] | None = None
        self.metadata: dict[str, Any] = {}
        self.checkpoint_config: RunnableConfig = {}
        self.parent_config: RunnableConfig | None = None
        self.output: Any = None
        self.persistence: Persistence | None = None
        self.event_loop: Any = None
        configurable = config.get("configurable")
        # Tests and servers count nodes by it.
        self.node_finished: Any = configurable.get(NODE_FINISHED_KEY) if configurable else None
        if self.node_finished is None and parent is not None:
            self.node_finished = parent.loop.node_finished
        self.shown_messages: set[Any] = set() if parent is None else parent.loop.shown_messages
        concurrency = config.get("max_concurrency")
        if concurrency is None and parent is not None:
            concurrency = parent.loop.concurrency
        self.concurrency: int | None = concurrency
        # Nodes must not hold up the thread that shows what they emit.
        self.threaded = (
            stream is not None
            and parent is None
            and bool(stream.own)
            and (graph.stream_eager or stream.subgraphs or not _LIVE.isdisjoint(stream.own))
        )
        self.is_async = False
        self.emitted = False
        self.release: Release | None = None
        self.output_set: frozenset[str] | None = None
        # Of a run from an old checkpoint; see `entry`.
        self.addressed = False
        self.mapped = False
        self.superseded = False
        self.replay: Any = None
        self._checkpoint_id: str | None = None
        self._config: RunnableConfig | None = None
        self._ns: str | None = None

    @property
    def whole(self) -> Loop:
        """This run as the class that it always is."""
        return self  # type: ignore[return-value]

    # What tasks ask for

    @property
    def config(self) -> RunnableConfig:
        """The run's config with that of the task around it, complete."""
        if self._config is None:
            if self.parent is None:
                self._config = ensure_config(self.own_config)
            else:
                outer = dict(self.parent.config)
                outer.pop("run_name", None)
                self._config = ensure_config(merge_configs(outer, self.own_config))
        return self._config

    @property
    def ns(self) -> str:
        """The run's namespace: empty for a run that is no part of another."""
        if self._ns is None:
            if self.parent is None:
                self._ns = ""
            else:
                index = self.subgraph_index
                self._ns = f"{self.parent.ns}|{index}" if index else self.parent.ns
        return self._ns

    @ns.setter
    def ns(self, ns: str) -> None:
        self._ns = ns

    @property
    def checkpoint_id(self) -> str:
        """The id of the checkpoint that the superstep starts from; made when first asked for."""
        if self._checkpoint_id is None:
            with _making:
                if self._checkpoint_id is None:
                    self._checkpoint_id = new_checkpoint_id(self.step)
        return self._checkpoint_id

    def stand_at(self, checkpoint_id: str | None, *, first_format: bool = False) -> None:
        """The superstep starts from this checkpoint; None for one that has no id yet."""
        self._checkpoint_id = checkpoint_id
        self.first_format = first_format

    @property
    def thread_id(self) -> str | None:
        """The thread's id, as text, if there is one."""
        configurable = self.own_config.get("configurable") or {}
        thread_id = configurable.get("thread_id")
        if thread_id is None:
            return None if self.parent is None else self.parent.loop.thread_id
        return str(thread_id)

    @property
    def previous(self) -> Any:
        """What the thread's last run of an entrypoint saved."""
        return self.cells.get(PREVIOUS)

    @property
    def control(self) -> RunControl:
        """The run's control; made when first asked for."""
        if self._control is None:
            from taskloom.pregel.runtime import RunControl

            with _making:
                if self._control is None:
                    self._control = RunControl()
        return self._control

    @property
    def server_info(self) -> Any:
        """Who runs the graph, if a server says so in the config."""
        from taskloom.pregel.runtime import ServerInfo

        configurable = self.config.get("configurable") or {}
        assistant = configurable.get("assistant_id")
        graph = configurable.get("graph_id")
        user = configurable.get("langgraph_auth_user")
        if user is not None and not hasattr(user, "identity"):
            user = None
        if assistant is None and graph is None and user is None:
            return None
        return ServerInfo(str(assistant or ""), str(graph or ""), user)

    def writer_for(self, task: Task) -> StreamWriter:
        """What a task emits custom chunks by."""
        from taskloom.pregel.runtime import no_stream_writer

        stream = self.stream
        if stream is None or "custom" not in stream.modes:
            return no_stream_writer
        ns = tuple(task.ns.split("|")[:-1])

        def write(chunk: Any) -> None:
            stream.put((ns, "custom", chunk))

        return write

    @property
    def plain_step(self) -> bool:
        """Whether a task that is due alone is all that the superstep is about."""
        return self.cache is None and self.release is None

    @property
    def bare_step(self) -> bool:
        """Whether nobody hears of a task that has run to its end before the superstep has."""
        return (
            self.plain_step
            and self.persistence is None
            and self.stream is None
            and self.tracing is None
            and self.node_finished is None
            and not self.timed
            and not self.program.has_timeouts
        )

    def keep_own_thread(self) -> None:
        """Store under the names of the nodes on the way, so that the next run goes on from here."""
        if self.saver is None or self.parent is None:
            return
        ns = recast_ns(self.parent.ns)
        self.ns = f"{ns}|{self.subgraph_index}" if self.subgraph_index else ns

    def enter_async(self) -> None:
        """The run's driver is a coroutine of the running event loop."""
        self.is_async = True
        self.event_loop = asyncio.get_running_loop()

    def wait_for_calls(self, *, failed: bool) -> None:
        """Wait for the tasks that tasks have called."""
        from taskloom.pregel.calls import wait_for_calls

        wait_for_calls(self.whole, failed=failed)

    async def await_calls(self, *, failed: bool) -> None:
        """As `wait_for_calls`, in an async run."""
        from taskloom.pregel.calls import await_calls

        await await_calls(self.whole, failed=failed)

    def all_tasks(self) -> Iterable[Task]:
        """The superstep's tasks, and those that they called."""
        yield from self.tasks
        yield from list(self.calls.values())

    # Going on from stored writes

    def outputs_of(self, tid: str) -> list[tuple[str, Any]]:
        """What a finished task is known to have written."""
        signals = (ERROR, ERROR_SOURCE_NODE, INTERRUPT, RESUME)
        return [
            (key, value) for t, key, value in list(self.pending) if t == tid and key not in signals
        ]

    def answers_for(self, task: Task) -> list[Any]:
        """The answers that a task has been given so far, and the one for its next question."""
        if not self.pending and not self.resume_map and self.parent is None:
            return []
        tid = task.id
        answers: list[Any] = []
        for owner, key, value in list(self.pending):
            if owner == tid and key == RESUME:
                answers = list(value) if isinstance(value, list) else [value]
                break
        resume_map = self.find_resume_map()
        if resume_map:
            for key in (task.question_id(len(answers)), task.question_id(0)):
                if key in resume_map:
                    answers.append(resume_map[key])
                    break
        return answers

    def find_resume_map(self) -> dict[str, Any] | None:
        """The answers by interrupt id that this run, or one around it, was given."""
        if self.resume_map or self.parent is None:
            return self.resume_map
        return self.parent.loop.find_resume_map()

    def take_answer(self) -> Any:
        """The answer given without an id, once; None if there is none."""
        with self.lock:
            for index, (tid, key, value) in enumerate(self.pending):
                if tid == NULL_TASK_ID and key == RESUME:
                    del self.pending[index]
                    return value
        return None if self.parent is None else self.parent.loop.take_answer()
