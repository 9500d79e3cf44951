"""How a run begins: from a stored checkpoint, with new input, a command, or nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from taskloom._taskloom import _next_version
from taskloom.pregel import revive
from taskloom.pregel.cells import Cells
from taskloom.pregel.config import configurable_of, patch_configurable
from taskloom.pregel.constants import (
    BRANCH_TO,
    CHECKPOINT_ID,
    CHECKPOINT_MAP,
    INTERRUPT,
    NS_END,
    NULL_TASK_ID,
    RESUME,
    SINGULAR,
    START,
    STRICT_RESUME_KEY,
    TASKS,
)
from taskloom.pregel.effect import Effect, NullTask, in_order
from taskloom.pregel.errors import EmptyInputError, InvalidUpdateError, UnknownInterruptError
from taskloom.pregel.ids import checkpoint_id, is_digest
from taskloom.pregel.persist import Persistence, thread_config
from taskloom.pregel.replayed import refill
from taskloom.pregel.types import Command, Send

if TYPE_CHECKING:
    from taskloom.pregel.loop import Loop

logger = logging.getLogger("taskloom.pregel")


class Replay:
    """A run from an old checkpoint: its subgraphs start from theirs of that time, once each."""

    __slots__ = ("checkpoint_id", "visited")

    def __init__(self, checkpoint_id: str) -> None:
        self.checkpoint_id = checkpoint_id
        self.visited: set[str] = set()

    def first_visit(self, ns: str) -> bool:
        """Whether this is the first run in `ns`, whatever its task's id."""
        stable = ns.rsplit(NS_END, 1)[0]
        if stable in self.visited:
            return False
        self.visited.add(stable)
        return True


def restore(loop: Loop) -> Generator[Effect, Any, None]:
    """Load the thread's cells, or make empty ones."""
    program = loop.program
    saver = loop.saver
    if saver is None:
        tracked = bool(loop.interrupt_before or loop.interrupt_after)
        loop.cells = Cells(program, versions={} if tracked else None)
        return
    configurable = loop.config.get("configurable") or {}
    if loop.parent is None:
        around = configurable.get(CHECKPOINT_MAP) or {}
        wanted = around.get("") or (
            None if configurable.get("checkpoint_ns") else configurable.get(CHECKPOINT_ID)
        )
        replay = None
        loop.resuming = None
    else:
        outer = loop.parent.loop
        around = configurable.get(CHECKPOINT_MAP) or {}
        wanted = around.get(loop.ns)
        replay = outer.replay
        loop.resuming = True if loop.parent.retried else outer.resuming
    loop.mapped = loop.ns in around
    config = thread_config(loop, wanted)
    saved: Any = None
    if wanted:
        saved = yield Effect("get_tuple", (config,))
        if saved is not None:
            latest = yield Effect("get_tuple", (thread_config(loop, None),))
            loop.superseded = (
                latest is not None and latest.checkpoint["id"] != saved.checkpoint["id"]
            )
    elif replay is not None:
        if replay.first_visit(loop.ns):
            before = {"configurable": {CHECKPOINT_ID: replay.checkpoint_id}}
            found = yield Effect("list", (config,), {"before": before, "limit": 1})
            saved = found[0] if found else None
        else:
            saved = yield Effect("get_tuple", (config,))
        loop.resuming = None
    else:
        saved = yield Effect("get_tuple", (config,))
    loop.addressed = bool(wanted or replay)
    loop.replay = replay
    yield from refill(loop.graph, saved, saver)
    load(loop, saved)
    loaded = None if saved is None else saved.checkpoint["id"]
    if saved is None:
        loaded = checkpoint_id(-2)
        loop.stand_at(loaded)
    loop.persistence = Persistence(loop, saver, loaded, loop.is_async)


def _versions_of(saver: Any, checkpoint: Any) -> Callable[[Any, None], Any]:
    """What makes versions after those of a checkpoint: the saver, or what ours do, natively."""
    from taskloom.pregel.checkpoint.base import BaseCheckpointSaver

    own: Callable[[Any, None], Any] = saver.get_next_version
    if getattr(own, "__func__", None) is not BaseCheckpointSaver.get_next_version:
        return own
    versions = () if checkpoint is None else checkpoint["channel_versions"].values()
    return _next_version if all(type(version) is int for version in versions) else own


def load(loop: Loop, saved: Any) -> None:
    """Take over a stored checkpoint; None for an empty thread."""
    saver = loop.saver
    next_version = _versions_of(saver, None if saved is None else saved.checkpoint)
    if saved is None:
        loop.cells = Cells(loop.program, versions={}, next_version=next_version)
        loop.metadata = {"step": -2}
        loop.checkpoint_config = thread_config(loop, None)
    else:
        checkpoint = saved.checkpoint
        loop.graph.migrate_checkpoint(checkpoint)
        loop.cells = Cells(
            loop.program,
            checkpoint["channel_values"],
            dict(checkpoint["channel_versions"]),
            dict(checkpoint["versions_seen"]),
            next_version,
        )
        loop.metadata = saved.metadata
        loop.stand_at(checkpoint["id"], first_format=checkpoint.get("v", 1) < 2)
        own = thread_config(loop, None)
        loop.checkpoint_config = patch_configurable(own, configurable_of(saved.config))
        loop.parent_config = saved.parent_config
        loop.pending = revive.pending_writes(saved.pending_writes)
        loop.updated = checkpoint.get("updated_channels") or None
        loop.verify = True
    loop.step = loop.metadata.get("step", -2) + 1
    loop.stop = loop.step + loop.limit + 1


def begin(loop: Loop) -> None:  # noqa: PLR0915 (one decision, told in order)
    """Apply the run's input.

    Raises:
        EmptyInputError: there is no input and nothing to go on with.
        InvalidUpdateError: a command addresses a graph around this one.
        RuntimeError: an answer is given, but there is no saver, or it is not clear to what.
        UnknownInterruptError: with strict resume, an answer fits no question that waits.
    """
    given = loop.input
    is_command = isinstance(given, Command)
    cells = loop.cells
    if is_command and not cells.versions and _enters_by_start(loop):
        # Nothing is stored that it could go on from: it is the input.
        command_writes(given)
        if given.resume is not None and loop.saver is None:
            raise RuntimeError("Cannot use Command(resume=...) without checkpointer")
        _apply_input(loop, [(START, given)])
        loop.resuming = False if loop.parent is None else loop.resuming
        loop.status = "pending"
        return
    versions = cells.versions
    stored = bool(versions) and loop.saver is not None
    flag = loop.resuming
    if flag is None:
        flag = given is None or is_command or _same_run(loop)
    resuming = stored and bool(flag)
    answering = is_command and given.resume is not None
    travelling = loop.addressed and (
        (loop.parent is not None and loop.mapped) or not (answering or bool(loop.resuming))
    )
    loop.replaying = travelling or loop.superseded
    if travelling:
        loop.pending = [write for write in loop.pending if write[1] != RESUME]
    forks = (
        resuming
        and travelling
        and (loop.metadata.get("source") not in ("update", "fork") or loop.superseded)
    )
    bound: Any = None
    carried: list[tuple[str, str, Any]] = []
    if is_command:
        carried = _take_command(loop, given, forks)
    null_writes = [(k, v) for tid, k, v in (*loop.pending, *carried) if tid == NULL_TASK_ID]
    if null_writes:
        changed = cells.apply([NullTask(null_writes)], stepping=False)  # type: ignore[list-item]
        if loop.updated is not None or versions is None:
            loop.updated = [*(loop.updated or ()), *changed]
    if resuming:
        cells.seen[INTERRUPT] = {**cells.seen.get(INTERRUPT, {}), **(versions or {})}
        if forks and loop.persistence is not None:
            if loop.metadata.get("source") in ("update", "fork") and loop.parent_config:
                bound = configurable_of(loop.parent_config).get(CHECKPOINT_ID)
            loop.pending = [write for write in loop.pending if write[1] != INTERRUPT]
            loop.persistence.put_step({"source": "fork"})
            loop.step += 1
        loop.output = cells.read(loop.output_keys)
        loop.emitted = True
        if loop.stream is not None and "values" in loop.stream.modes:
            loop.stream.emit(loop, "values", (loop.output,))
    else:
        writes = list(map_input(loop.graph.input_channels, given)) if not is_command else []
        if writes:
            _apply_input(loop, writes)
        elif loop.resuming is None and not null_writes:
            raise EmptyInputError(f"Received no input for {loop.graph.input_channels}")
    if loop.parent is None:
        if travelling:
            at = bound or loop.checkpoint_id
            source_before = loop.metadata.get("source") in ("update", "fork")
            if bound is None and source_before and loop.parent_config:
                at = configurable_of(loop.parent_config).get(CHECKPOINT_ID) or at
            loop.replay = Replay(at)
        loop.resuming = resuming
    loop.resumed = resuming
    loop.status = "pending"


def _enters_by_start(loop: Loop) -> bool:
    return loop.graph.input_channels == START and START in loop.program.nodes


def _same_run(loop: Loop) -> bool:
    if loop.parent is not None:
        return False
    run_id = (loop.config.get("metadata") or {}).get("run_id")
    return run_id is not None and run_id == loop.metadata.get("run_id")


def _apply_input(loop: Loop, writes: list[tuple[str, Any]]) -> None:
    cells = loop.cells
    # A step that was due and is not going to happen counts as seen.
    discarded = in_order(loop.plan(loop.updated)) if cells.versions else []
    tasks: list[Any] = [NullTask(writes), *discarded]
    loop.updated = cells.apply(tasks, stepping=bool(discarded))
    loop.verify = bool(discarded)
    if loop.persistence is not None:
        loop.persistence.put_step({"source": "input"})
    loop.step += 1


def _take_command(loop: Loop, command: Command[Any], forks: bool) -> list[tuple[str, str, Any]]:
    by_id = False
    resume = command.resume
    if resume is not None:
        if loop.saver is None:
            raise RuntimeError("Cannot use Command(resume=...) without checkpointer")
        by_id = isinstance(resume, dict) and all(is_digest(key) for key in resume)
        strict = (
            configurable_of(loop.config).get(STRICT_RESUME_KEY)
            and loop.parent is None
            and not loop.superseded
        )
        waiting = pending_interrupts(loop.pending) if strict or not by_id else set()
        if by_id:
            if strict:
                _check_answered(resume, waiting)
            loop.resume_map = resume
        elif len(waiting) > 1:
            message = (
                "When there are multiple pending interrupts, you must specify the interrupt id "
                "when resuming: Command(resume={interrupt_id: answer})."
            )
            if strict:
                raise UnknownInterruptError(
                    message, reason="ambiguous", pending_ids=sorted(waiting)
                )
            raise RuntimeError(message)
    writes = [w for w in command_writes(command) if not (by_id and w[0] == RESUME)]
    if not writes and not by_id:
        raise EmptyInputError("Received empty Command input")
    if not writes:
        return []
    if forks:
        return [(NULL_TASK_ID, key, value) for key, value in writes]
    kept = [w for w in loop.pending if w[0] != NULL_TASK_ID or w[1] not in SINGULAR]
    writes.sort(key=lambda write: write[0] in SINGULAR)
    before = [(key, value) for tid, key, value in kept if tid == NULL_TASK_ID]
    loop.pending = [*kept, *((NULL_TASK_ID, key, value) for key, value in writes)]
    if loop.persistence is not None:
        loop.persistence.put_input_writes(NULL_TASK_ID, [*before, *writes])
    return []


def _check_answered(answers: dict[str, Any], waiting: set[str]) -> None:
    pending = sorted(waiting)
    if not answers:
        raise UnknownInterruptError(
            "The resume map names no interrupt", reason="empty_map", pending_ids=pending
        )
    unknown = sorted(answers.keys() - waiting)
    if unknown:
        raise UnknownInterruptError(
            f"Unknown or already-consumed interrupt: {unknown[0]}; "
            f"those that wait are {', '.join(pending) or 'none'}",
            reason="not_pending",
            interrupt_ids=unknown,
            pending_ids=pending,
        )


def pending_interrupts(pending: Sequence[tuple[str, str, Any]]) -> set[str]:
    """The ids of the interrupts that wait for an answer."""
    finished = set()
    asked: dict[str, list[Any]] = {}
    for tid, key, value in pending:
        if tid == NULL_TASK_ID:
            continue
        if key == INTERRUPT:
            asked.setdefault(tid, []).extend(value)
        elif key != RESUME and not key.startswith("__error"):
            finished.add(tid)
    return {i.id for tid, found in asked.items() if tid not in finished for i in found}


def command_writes(command: Command[Any]) -> list[tuple[str, Any]]:
    """What a command that a run is started with writes.

    Raises:
        InvalidUpdateError: it addresses a graph around this one.
        TypeError: it goes to something that is neither a node's name nor a `Send`.
    """
    if command.graph == Command.PARENT:
        raise InvalidUpdateError("There is no parent graph")
    writes: list[tuple[str, Any]] = []
    goto = command.goto
    for target in goto if isinstance(goto, list | tuple) else [goto] if goto else []:
        if isinstance(target, Send):
            writes.append((TASKS, target))
        elif isinstance(target, str):
            writes.append((BRANCH_TO + target, START))
        else:
            raise TypeError(f"In Command.goto, expected Send/str, got {type(target).__name__}")
    if command.resume is not None:
        writes.append((RESUME, command.resume))
    if command.update:
        writes.extend(command._update_as_tuples())
    return writes


def map_input(input_channels: str | Sequence[str], given: Any) -> Iterator[tuple[str, Any]]:
    """The writes that a run's input stands for.

    Raises:
        TypeError: the graph takes several cells, and the input is no dict.
    """
    if given is None:
        return
    if isinstance(input_channels, str):
        yield input_channels, given
        return
    if not isinstance(given, dict):
        raise TypeError(f"Expected chunk to be a dict, got {type(given).__name__}")
    for key, value in given.items():
        if key in input_channels:
            yield key, value
        else:
            logger.warning("Input channel %s not found in %s", key, input_channels)
