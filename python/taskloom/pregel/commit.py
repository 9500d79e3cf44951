"""What becomes of a task's writes when it has ended: they are kept, stored and shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from taskloom.pregel.constants import (
    ERROR,
    ERROR_SOURCE_NODE,
    INTERRUPT,
    NO_WRITES,
    RESUME,
    SINGULAR,
)
from taskloom.pregel.errors import GraphBubbleUp, GraphInterrupt, NodeError
from taskloom.pregel.frame import Frame
from taskloom.pregel.stream import (
    message_id,
    messages_in,
    result_payload,
    state_values,
    updates_of,
)
from taskloom.pregel.tasks import Task


class Ledger(Frame):
    """A run that keeps account of what its tasks wrote."""

    # The ends of tasks

    def commit(self, task: Task, error: BaseException | None) -> None:
        """A task has ended: note its writes, store them, show them. Called by its thread."""
        task.error = error
        if error is None:
            if self.node_finished is not None and not task.node.hidden:
                self.node_finished(task.name)
            if not task.writes or (task.asked and task.only_answered()):
                if self.persistence is None and self.stream is None:
                    return
                task.writes.append((NO_WRITES, None))
            writes = task.writes
        elif isinstance(error, GraphInterrupt):
            asked = error.args[0] if error.args else ()
            if not asked:
                return
            writes = [(INTERRUPT, tuple(asked))]
            writes += [write for write in task.writes if write[0] == RESUME]
            if task.parent is None:
                with self.lock:
                    self.interrupts.extend(asked)
        elif isinstance(error, GraphBubbleUp):
            return
        else:
            task.writes.append((ERROR, error))
            if task.node.error_handler is not None:
                task.writes.append((ERROR_SOURCE_NODE, task.name))
            writes = task.writes
        persistence = self.persistence
        if persistence is not None and not (
            error is None and persistence.holds and persistence.hold(task, writes)
        ):
            self.note_writes(task, writes)
        if task.cache_key is not None and self.cache is not None and error is None:
            self.cache.set({(task.cache_key.ns, task.cache_key.key): (writes, task.cache_key.ttl)})
        if self.stream is not None:
            self.show_writes(task, writes)

    def note_writes(self, task: Task, writes: Sequence[tuple[str, Any]]) -> None:
        """Keep a task's writes as pending ones, and store them."""
        if writes[0][0] in SINGULAR and all(write[0] in SINGULAR for write in writes):
            writes = list({write[0]: write for write in writes}.values())
        if task.error is None and len(self.tasks) == 1 and self.tasks[0] is task:
            # The superstep ends with it: its writes are not pending for long enough to matter.
            if self.persistence is not None:
                self.persistence.put_writes(task, writes)
            return
        tid = task.id
        with self.lock:
            if self.pending:
                self.pending = [write for write in self.pending if write[0] != tid]
            self.pending.extend((tid, key, value) for key, value in writes)
            if self.persistence is not None:
                self.persistence.put_writes(task, writes)

    def show_writes(
        self, task: Task, writes: Sequence[tuple[str, Any]], *, cached: bool = False
    ) -> None:
        """Emit a task's writes."""
        stream = self.stream
        if stream is None or task.node.hidden or not writes:
            return
        with self.lock:
            kind = writes[0][0]
            if kind == INTERRUPT:
                if task.parent is not None:
                    return
                asked = tuple(i for key, found in writes if key == INTERRUPT for i in found)
                stream.emit(self.whole, "updates", ({INTERRUPT: asked},))
                if "values" in stream.modes:
                    values = self.cells.read(self.output_keys)
                    both = dict(values) if isinstance(values, dict) else {}
                    both[INTERRUPT] = asked
                    stream.emit(self.whole, "values", (both,))
            elif kind != ERROR and "updates" in stream.modes:
                shown = updates_of(self.output_keys, task, writes, cached=cached)
                stream.emit(self.whole, "updates", shown)
            if "messages" in stream.modes and kind != ERROR:
                self._show_messages(task, writes)
            if not cached and stream.wants("tasks"):
                stream.emit(
                    self.whole, "tasks", (result_payload(task, writes, self.graph.stream_keys),)
                )

    def _show_messages(self, task: Task, writes: Sequence[tuple[str, Any]]) -> None:
        """Emit the chat messages among a task's writes that were not emitted before."""
        if self.stream is None:
            return
        # What the node was given is not new.
        given = messages_in(enumerate(state_values(task.input)))
        self.shown_messages.update(message_id(message) for message in given)
        for message in messages_in(writes):
            key = message_id(message)
            if key is None or key not in self.shown_messages:
                self.stream.message(task, message)

    def handler_for(self, failed: Task, error: BaseException) -> Task | None:
        """The task that handles a failed one, added to the superstep; None if it has no handler."""
        name = failed.node.error_handler
        if name is None or isinstance(error, GraphBubbleUp):
            return None
        task = Task(self.whole, self.program.nodes[name], failed.input, failed.index)
        task.failed = failed
        task.node_error = NodeError(failed.name, error)
        task.timeout = task.node.timeout
        with self.lock:
            self.tasks.append(task)
        if self.pending and not self.replaying:
            self._reapply([task])
        return task

    def _reapply(self, tasks: Iterable[Task]) -> None:
        known = {tid for tid, _, _ in self.pending}
        for task in tasks:
            if task.id in known:
                task.writes.extend(self.outputs_of(task.id))

    def _resume_handlers(self) -> None:
        failed = {tid for tid, key, _ in self.pending if key == ERROR_SOURCE_NODE}
        for task in list(self.tasks):
            if task.id not in failed or task.node.error_handler is None:
                continue
            for tid, key, value in list(self.pending):
                if tid == task.id and key == ERROR:
                    error = value if isinstance(value, BaseException) else Exception(str(value))
                    task.writes.append((ERROR, error))
                    self.handler_for(task, error)
                    break
