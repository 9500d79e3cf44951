"""How a run hands its checkpoints and pending writes to a saver.

Calls are made in the order in which they were asked for: at once where the saver is as quick as
memory or the run asked for `durability="sync"`, else one after the other in the background.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from taskloom._taskloom import _checkpoint_id, _none_to
from taskloom.pregel.cells import strip_untracked
from taskloom.pregel.config import checkpoint_metadata_of, configurable_of, patch_configurable
from taskloom.pregel.constants import (
    CHECKPOINT_ID,
    CHECKPOINT_MAP,
    CHECKPOINT_NS,
    COORDINATES,
    NS_END,
    SINGULAR,
    TASKS,
    THREAD_ID,
)
from taskloom.pregel.ids import timestamp
from taskloom.pregel.types import RunnableConfig

if TYPE_CHECKING:
    from taskloom.pregel.checkpoint.memory.line import Alone
    from taskloom.pregel.loop import Loop
    from taskloom.pregel.tasks import Task

FORMAT = 4
"""The version of the checkpoint format that is written."""

_takes_path: dict[Any, bool] = {}


def accepts_path(put_writes: Callable[..., Any]) -> bool:
    """Whether a saver's `put_writes` takes the task's path."""
    key = getattr(put_writes, "__func__", put_writes)
    known = _takes_path.get(key)
    if known is None:
        known = _takes_path[key] = "task_path" in inspect.signature(put_writes).parameters
    return known


_ASYNC_METHODS = ("aget_tuple", "alist", "aput", "aput_writes")


_STORING = ("put", "put_writes", "put_step")


def takes_steps(saver: Any) -> bool:
    """Whether `saver` takes a superstep at once, and nobody watches what is stored otherwise."""
    module = sys.modules.get("taskloom.pregel.checkpoint.memory.saver")
    if module is None or not isinstance(saver, module.InMemorySaver):
        return False
    cls, base, own = type(saver), module.InMemorySaver, vars(saver)
    unwatched = all(getattr(cls, m) is getattr(base, m) and m not in own for m in _STORING)
    return unwatched and bool(saver.usual_serde)


def is_memory(saver: Any, is_async: bool = False) -> bool:
    """Whether calls of `saver` never wait, so that they are made at once.

    A memory saver whose async methods were overridden is asked by these in an async run.
    """
    module = sys.modules.get("taskloom.pregel.checkpoint.memory")
    if module is None or not isinstance(saver, module.InMemorySaver):
        return False
    cls, base = type(saver), module.InMemorySaver
    return cls is base or not (
        is_async and any(getattr(cls, m) is not getattr(base, m) for m in _ASYNC_METHODS)
    )


class Strand:
    """Runs calls one after the other on an executor, and remembers the first error.

    Who waits for it makes the calls that are left itself, so a full executor cannot hold it up.
    """

    def __init__(self, submit: Callable[[Callable[[], None]], Any]) -> None:
        self._submit = submit
        self._calls: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
        self._turn = threading.Lock()
        self._asked = False
        self.error: BaseException | None = None

    def add(self, call: Callable[..., Any], *arguments: Any) -> None:
        """Run `call` after those added before."""
        self._calls.append((call, arguments))
        if not self._asked:
            self._asked = True
            self._submit(self._run)

    def _run(self) -> None:
        with self._turn:
            self._asked = False
            while self._calls:
                call, arguments = self._calls.popleft()
                try:
                    if self.error is None:
                        call(*arguments)
                except BaseException as exc:
                    self.error = exc

    def wait(self) -> None:
        """Return when all calls are done.

        Raises:
            BaseException: what the first call raised that failed.
        """
        self._run()
        error, self.error = self.error, None
        if error is not None:
            raise error


class AsyncStrand:
    """Awaits calls one after the other on a loop, and remembers the first error."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._calls: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
        self._task: asyncio.Task[None] | None = None
        self.error: BaseException | None = None

    def add(self, call: Callable[..., Any], *arguments: Any) -> None:
        """Await `call` after those added before; from any thread."""
        self._calls.append((call, arguments))
        if threading.get_ident() == self._thread:
            self._start()
        else:
            self._loop.call_soon_threadsafe(self._start)

    def _start(self) -> None:
        if self._task is None or self._task.done():
            self._task = self._loop.create_task(self._run())

    async def _run(self) -> None:
        while self._calls:
            call, arguments = self._calls.popleft()
            try:
                if self.error is None:
                    await call(*arguments)
            except BaseException as exc:
                self.error = exc

    async def wait(self) -> None:
        """Wait until all calls are done.

        Raises:
            BaseException: what the first call raised that failed.
        """
        while self._calls or (self._task is not None and not self._task.done()):
            self._start()
            if self._task is not None:
                await asyncio.shield(self._task)
        error, self.error = self.error, None
        if error is not None:
            raise error


class Persistence:
    """The checkpoints of one run.

    Args:
        loop: the run.
        saver: where they go.
        loaded_id: the checkpoint that the run started from, or None for a new thread.
        is_async: the run's driver is a coroutine.
    """

    def __init__(self, loop: Loop, saver: Any, loaded_id: str | None, is_async: bool) -> None:
        self.loop = loop
        self.saver = saver
        self.loaded_id = loaded_id
        self.written: set[str] = set()
        self.config_id: str | None = ""
        self.strand: Strand | AsyncStrand | None = None
        self.batch: Callable[[], AbstractContextManager[None]] | None = None
        self.held: tuple[Task, Sequence[tuple[str, Any]]] | None = None
        self.step: Callable[..., None] | None = None
        self.put: Callable[..., Any] = saver.put
        self.save_writes: Callable[..., Any] = saver.put_writes
        if is_memory(saver, is_async):
            if takes_steps(saver) and loop.thread_id is not None:
                self.step = saver.put_step
        elif is_async:
            self.put, self.save_writes = saver.aput, saver.aput_writes
            self.strand = AsyncStrand()
        elif loop.durability == "async":
            self.strand = Strand(loop.graph.submit_background)
        elif hasattr(saver, "batch"):
            self.batch = saver.batch
        self.takes_path = accepts_path(self.save_writes)
        together = self.batch is not None or self.step is not None
        self.holds = together and loop.durability != "exit"
        self.base: dict[str, Any] = {
            key: value
            for key, value in (loop.checkpoint_config.get("configurable") or {}).items()
            if not key.startswith("__pregel_")
        }
        self.ns = self.base[CHECKPOINT_NS] = loop.ns
        self.base.pop(CHECKPOINT_MAP, None)
        known = checkpoint_metadata_of(loop.config)
        self.config_metadata = {key: known[key] for key in known if key not in COORDINATES}
        configurable = loop.config.get("configurable") or {}
        self.parents: dict[str, str] = dict(configurable.get(CHECKPOINT_MAP) or {})
        self.thread_id: str = self.base.get(THREAD_ID, "")
        self.known: dict[str, Any] = {}  # what the config adds to the metadata of each superstep
        if self.step is not None:
            from taskloom.pregel.checkpoint.base import get_checkpoint_metadata

            self.known = dict(get_checkpoint_metadata(dict(self.config_at(None)), {}))

    def config_at(self, id: str | None) -> RunnableConfig:
        """The config that a saver is given for the checkpoint `id`."""
        configurable = {**self.base, CHECKPOINT_ID: id}
        if not self.config_metadata:
            return {"configurable": configurable}
        return {"configurable": configurable, "metadata": self.config_metadata}

    def put_step(self, metadata: dict[str, Any]) -> None:
        """A superstep, or the input, has been applied: store a checkpoint, or note that."""
        loop = self.loop
        metadata["step"] = loop.step
        metadata["parents"] = self.parents
        loop.metadata = metadata
        if loop.durability == "exit":
            loop.stand_at(None)
        else:
            self._store(_checkpoint_id(loop.step), metadata)

    def put_exit(self, error: BaseException | None) -> None:
        """The run has ended with `durability="exit"`: store where it stands, unless it is part of
        another run that goes on."""
        loop = self.loop
        keeps_own = all(NS_END not in part for part in loop.ns.split("|")) if loop.ns else True
        if loop.parent is not None and error is None and not keeps_own:
            return
        if loop.checkpoint_id != self.loaded_id:
            self._store(loop.checkpoint_id, loop.metadata)
        by_task: dict[str, list[tuple[str, Any]]] = {}
        for tid, key, value in loop.pending:
            if tid in self.written:
                by_task.setdefault(tid, []).append((key, value))
        paths = {task.id: task.path_text for task in loop.all_tasks()}
        for tid, writes in by_task.items():
            self._save(tid, self._storable(writes), paths.get(tid, ""))

    def _store(self, id: str, metadata: dict[str, Any]) -> None:
        loop, cells = self.loop, self.loop.cells
        before: str | None = self.config_id
        if before == "":
            before = configurable_of(loop.checkpoint_config).get(CHECKPOINT_ID)
        if self.step is not None:
            held, self.held = self.held, None
            about = (loop.updated, {**self.known, **metadata} if self.known else metadata)
            alone: Alone | None = None
            if held is not None:
                task, writes = held
                alone = (task.names if loop._checkpoint_id == before else task.names_by_id, writes)
            self.step(self.thread_id, self.ns, id, before, cells, about, alone)
        else:
            self._put(id, before, metadata)
        if loop.stream is not None or self.step is None or metadata["source"] != "loop":
            loop.parent_config = self.config_at(before) if before else None
            loop.checkpoint_config = self.config_at(id)
        loop.stand_at(id)
        self.config_id = id

    def _put(self, id: str, before: str | None, metadata: dict[str, Any]) -> None:
        cells, updated = self.loop.cells, self.loop.updated
        versions = cells.versions or {}
        checkpoint = {
            "v": FORMAT,
            "ts": timestamp(),
            "id": id,
            "channel_values": cells.checkpoint(),
            "channel_versions": versions.copy(),
            "versions_seen": cells.seen.copy(),
            "updated_channels": None if updated is None else sorted(updated),
        }
        changed = {key: versions[key] for key in cells.bumped if key in versions}
        cells.bumped.clear()
        config = self.config_at(before)
        if self.held is not None and self.batch is not None:
            with self.batch():
                self.flush()
                self.put(config, checkpoint, metadata, changed)
        elif self.strand is None:
            self.put(config, checkpoint, metadata, changed)
        else:
            self.strand.add(self.put, config, checkpoint, metadata, changed)

    def put_writes(self, task: Task, writes: Sequence[tuple[str, Any]]) -> None:
        """Store what a task of the superstep wrote."""
        if self.loop.durability == "exit":
            self.written.add(task.id)
        else:
            self._save(task.id, self._storable(writes), self._path_of(task))

    def hold(self, task: Task, writes: Sequence[tuple[str, Any]]) -> bool:
        """Hold back what the superstep's only task wrote, to be stored with its checkpoint.

        Returns:
            False if there are other tasks, or it wrote something that must not wait.
        """
        tasks = self.loop.tasks
        if len(tasks) != 1 or tasks[0] is not task or not _none_to(writes, SINGULAR):
            return False
        if self.held is not None:
            self.flush()
        self.held = (task, self._storable(writes) if self.loop.program.untracked else writes)
        return True

    def _path_of(self, task: Task) -> str:
        return task.path_text if self.takes_path else ""

    def flush(self) -> None:
        """Store writes that were held back for a checkpoint that may not come any more."""
        if self.held is not None:
            (task, writes), self.held = self.held, None
            self._save(task.id, writes, self._path_of(task))

    def put_input_writes(self, tid: str, writes: Sequence[tuple[str, Any]]) -> None:
        """Store what a command wrote before the superstep."""
        self.written.add(tid)
        if self.loop.durability != "exit":
            self._save(tid, self._storable(writes), "")

    def _storable(self, writes: Sequence[tuple[str, Any]]) -> Sequence[tuple[str, Any]]:
        untracked = self.loop.program.untracked
        if not untracked:
            return writes if self.strand is None else list(writes)
        return [
            (key, strip_untracked(value, untracked) if key == TASKS else value)
            for key, value in writes
            if key not in untracked
        ]

    def _save(self, tid: str, writes: Sequence[tuple[str, Any]], path: str) -> None:
        id = self.loop.checkpoint_id
        config = self.config_at(id)
        arguments = (config, writes, tid, path) if self.takes_path else (config, writes, tid)
        if self.strand is None:
            self.save_writes(*arguments)
        else:
            self.strand.add(self.save_writes, *arguments)


def thread_config(loop: Loop, checkpoint_id: str | None) -> RunnableConfig:
    """The config that fetches a run's thread, at a checkpoint or at its latest."""
    thread_id = loop.thread_id
    configurable = {
        key: value
        for key, value in (loop.config.get("configurable") or {}).items()
        if not key.startswith("__pregel_")
    }
    configurable[CHECKPOINT_NS] = loop.ns
    configurable.pop(CHECKPOINT_ID, None)
    if thread_id is not None:
        configurable[THREAD_ID] = thread_id
    config: RunnableConfig = {"configurable": configurable}
    return patch_configurable(config, {CHECKPOINT_ID: checkpoint_id}) if checkpoint_id else config
