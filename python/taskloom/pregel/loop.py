"""The superstep loop: which tasks are due, and what their writes make of the cells.

`steps` is a generator that never waits: it yields what has to be done (run the due tasks, ask the
saver, wait until it is done) to a driver, sync or async, which sends back the result. There is
one loop, and nothing of it exists twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from taskloom.pregel.commit import Ledger
from taskloom.pregel.constants import INTERRUPT
from taskloom.pregel.effect import DRAIN, RUN, Steps, in_order
from taskloom.pregel.entry import begin, restore
from taskloom.pregel.errors import GraphDrained, GraphInterrupt, GraphRecursionError
from taskloom.pregel.missing import MISSING
from taskloom.pregel.release import Release
from taskloom.pregel.stream import checkpoint_payload, task_payloads
from taskloom.pregel.tasks import Task

if TYPE_CHECKING:
    from taskloom.pregel.program import CompiledNode


class Loop(Ledger):
    """The supersteps of one run."""

    # The run

    def steps(self) -> Steps:
        """Run to the end; see the module."""
        error: BaseException | None = None
        try:
            yield from restore(self)
            begin(self)
            if self.listeners is not None and self.resumed:
                yield self.listeners.resumed(self)
            drains = self.persistence is not None and self.durability == "sync"
            if drains:
                yield DRAIN
            while self.tick():
                yield RUN
                self.after()
                if drains:
                    yield DRAIN
        except BaseException as exc:
            error = exc
        try:
            self.finish(error)
            stopped = isinstance(error, GraphInterrupt) and self.parent is None
            if stopped and self.listeners is not None:
                yield self.listeners.stopped(self, error)
        finally:
            if self.persistence is not None:
                yield DRAIN
        if error is None and self.status == "out_of_steps":
            error = self._out_of_steps()
        elif error is None and self.status == "draining":
            error = GraphDrained(self.control.drain_reason or "shutdown")
        elif isinstance(error, GraphInterrupt) and self.parent is None:
            error = None
        if self.tracing is not None:
            try:
                yield DRAIN  # so that the reader has all chunks before the end is told
            finally:
                self.tracing.end(error)
        if error is not None:
            raise error

    def _out_of_steps(self) -> GraphRecursionError:
        names = [task.name for task in self.tasks]
        return GraphRecursionError(
            f"Recursion limit of {self.limit} reached without hitting a stop condition: "
            f"superstep {self.step} would have run {', '.join(map(repr, names)) or 'nothing'}. "
            "You can increase the limit by setting the `recursion_limit` config key.",
            step=self.step,
            nodes=names,
        )

    def tick(self) -> bool:
        """Find the tasks that are due. Returns whether there are any to run."""
        self.tasks = self.plan(self.updated)
        if self.graph.schedule is not None and self.step == 1 and self.saver is None:
            self.release = Release(self, self.graph.schedule)
            self.tasks = self.release.first()
        stream = self.stream
        if stream is not None and self.saver is not None and stream.wants("checkpoints"):
            stream.emit(self, "checkpoints", (checkpoint_payload(self),))
        if self.step > self.stop:
            self.status = "out_of_steps"
            return False
        if not self.tasks:
            self.status = "done"
            return False
        if self.pending and not self.replaying:
            self._reapply(self.tasks)
            self._resume_handlers()
        if self.interrupt_before and self._interrupted(self.interrupt_before):
            self.status = "interrupt_before"
            raise GraphInterrupt
        if self._control is not None and self._control.drain_requested:
            self.status = "draining"
            return False
        if stream is not None and stream.wants("tasks"):
            stream.emit(self, "tasks", task_payloads(self.tasks))
        if self.pending:
            for task in self.tasks:
                if task.writes:
                    self.show_writes(task, task.writes, cached=True)
        return True

    def follow(self, task: Task) -> list[Task]:
        """The tasks that may start now that one is done: none, but with early release."""
        if self.release is None:
            return []
        ready = self.release.follow(task)
        with self.lock:
            self.tasks.extend(ready)
        if self.stream is not None and self.stream.wants("tasks"):
            self.stream.emit(self, "tasks", task_payloads(ready))
        return ready

    def plan(self, updated: Iterable[str] | None) -> list[Task]:
        """The tasks of the next superstep: of sends, then of nodes whose cells changed."""
        program, cells = self.program, self.cells
        tasks = []
        if cells.sends:
            for index, send in enumerate(cells.sends):
                node = program.nodes.get(getattr(send, "node", None) or "")
                if node is None:
                    self.graph.warn_unknown_send(send)
                    continue
                task = Task(self, node, send.arg, index)
                if send.timeout is not None:
                    task.timeout = send.timeout
                    self.timed = True
                tasks.append(task)
            self.ordered = len(tasks)
        due = program.known_due.get(tuple(updated)) if updated and not self.verify else None
        for node in self._due(updated) if due is None else due:
            try:
                value = cells.values.copy() if node.reads_only_all else node.input(self)
            except Exception as exc:
                exc.add_note(f"Before task with name '{node.name}' in superstep {self.step}")
                raise
            if value is not MISSING:
                tasks.append(Task(self, node, value, -1))
                self.ordered = 1
        if program.has_timeouts:
            for task in tasks:
                if task.timeout is None:
                    task.timeout = task.node.timeout
        return tasks

    def _due(self, updated: Iterable[str] | None) -> Sequence[CompiledNode]:
        program = self.program
        if updated:
            found: Sequence[CompiledNode] = program.due_after(tuple(updated))
        elif self.cells.versions:
            found = tuple(program.nodes.values())
        else:
            return ()
        if self.verify or not updated:
            found = [node for node in found if self._triggered(node)]
        return found

    def _triggered(self, node: CompiledNode) -> bool:
        cells = self.cells
        versions = cells.versions
        if versions is None:
            return any(cells.is_available(key) for key in node.triggers)
        seen = cells.seen.get(node.name)
        for key in node.triggers:
            if cells.is_available(key):
                if seen is None or key not in seen:
                    if seen is None or key in versions:
                        return True
                elif key in versions and versions[key] > seen[key]:
                    return True
        return False

    def after(self) -> None:
        """End the superstep: apply its writes, store a checkpoint."""
        tasks, stream = self.tasks, self.stream
        ordered: Sequence[Any] = tasks
        if len(tasks) > 1 and len(tasks) != self.ordered:
            ordered = in_order(tasks)
        if self.release is None:
            updated = self.updated = self.cells.apply(ordered)
        else:
            updated = self.updated = self.release.apply()
            self.step += self.graph.schedule.steps - 1
            self.release = None
        self.verify = False
        if stream is not None and "values" in stream.modes:
            self._show_values(updated, ordered)
        elif (self.graph.eager_output or not self.emitted) and self._outputs(updated):
            self.emitted = True
            if self.graph.eager_output:
                self.output = self.cells.read(self.output_keys)
        if self.pending:
            self.pending = []
        if self.calls:
            self.calls = {}
        self.replaying = False
        if self.persistence is None:
            self._checkpoint_id = None
        else:
            self.persistence.put_step({"source": "loop"})
        self.step += 1
        if self.interrupt_after and self._interrupted(self.interrupt_after):
            self.status = "interrupt_after"
            self.tasks = self.plan(updated)
            if stream is not None and self.saver is not None and stream.wants("checkpoints"):
                stream.emit(self, "checkpoints", (checkpoint_payload(self),))
            raise GraphInterrupt
        self.resuming = None

    def _outputs(self, updated: Iterable[str]) -> bool:
        keys = self.output_keys
        if isinstance(keys, str):
            return keys in updated
        if self.output_set is None:
            self.output_set = frozenset(keys)
        return not self.output_set.isdisjoint(updated)

    def _show_values(self, updated: Iterable[str], tasks: Iterable[Any]) -> None:
        if not self._outputs(updated) or self.stream is None:
            return
        keys = self.output_keys
        wanted = (keys,) if isinstance(keys, str) else keys
        if any(key in wanted for task in tasks for key, _ in task.writes):
            self.emitted = True
            self.output = self.cells.read(keys)
            self.stream.emit(self, "values", (self.output,))

    def _interrupted(self, where: Any) -> bool:
        cells = self.cells
        versions = cells.versions or {}
        seen = cells.seen.get(INTERRUPT, {})
        if not any(key not in seen or version > seen[key] for key, version in versions.items()):
            return False
        if where == "*":
            return any(not task.node.hidden for task in self.tasks)
        return any(task.name in where for task in self.tasks)

    # The end

    def finish(self, error: BaseException | None) -> None:
        """The run has ended: store what is left to store, show the last values."""
        persistence = self.persistence
        if persistence is not None:
            persistence.flush()
            if self.durability == "exit":
                persistence.put_exit(error)
        if isinstance(error, GraphInterrupt) and self.parent is None:
            self._finish_interrupted(error)
        elif error is not None:
            return
        unread = self.stream is None or "values" not in self.stream.modes
        if unread and self.emitted and not self.graph.eager_output:
            self.output = self.cells.read(self.output_keys)

    def _finish_interrupted(self, error: GraphInterrupt) -> None:
        stream = self.stream
        if any(task.writes for task in self.tasks):
            ordered = in_order(self.tasks)
            updated = self.cells.apply(ordered)
            if stream is not None and "values" in stream.modes:
                self._show_values(updated, ordered)
        if stream is not None and not (error.args and error.args[0]):
            stream.emit(self, "updates", ({INTERRUPT: ()},))
