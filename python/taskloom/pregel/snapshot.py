"""Reading a thread's state: now, at a checkpoint, and its history.

Each function is a generator that yields calls of the saver (see `loop.Effect`), for a sync or an
async driver to make.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from taskloom.pregel.config import (
    configurable_of,
    ensure_config,
    patch_checkpoint_map,
    patch_configurable,
    recast_ns,
)
from taskloom.pregel.constants import (
    CHECKPOINT_ID,
    CHECKPOINT_NS,
    CHECKPOINTER_KEY,
    CONF,
    NS_END,
    NS_SEP,
    NULL_TASK_ID,
    THREAD_ID,
)
from taskloom.pregel.effect import Effect, NullTask, in_order
from taskloom.pregel.entry import load
from taskloom.pregel.loop import Loop
from taskloom.pregel.replayed import refill
from taskloom.pregel.stream import tasks_with_results
from taskloom.pregel.types import RunnableConfig, StateSnapshot

if TYPE_CHECKING:
    from taskloom.pregel.pregel import Pregel


def saver_of(graph: Pregel, config: RunnableConfig) -> Any:
    """The saver that holds the state of the thread that `config` names.

    Raises:
        ValueError: there is none.
        RuntimeError: it is that of a graph around this one, which is not known here.
    """
    configurable = config.get(CONF) or {}
    saver = graph.checkpointer
    if saver is not False:
        saver = configurable.get(CHECKPOINTER_KEY, saver)
    if saver is True:
        raise RuntimeError(
            "checkpointer=True cannot be used for root graphs: it means the saver around"
        )
    if saver is None or saver is False:
        raise ValueError("No checkpointer set")
    return saver


def owner_of(
    graph: Pregel, config: RunnableConfig, saver: Any
) -> tuple[Pregel, RunnableConfig] | None:
    """The subgraph that `config` addresses by its namespace, with the config to ask it by.

    Returns:
        None if it addresses `graph` itself; or a graph that is not known to be part of it, since
        a node makes or looks up what it runs. What that stored is read with the cells of `graph`.
    """
    configurable = config.get(CONF) or {}
    ns = configurable.get(CHECKPOINT_NS) or ""
    if not ns or CHECKPOINTER_KEY in configurable:
        return None
    wanted = recast_ns(ns)
    for _, subgraph in graph.get_subgraphs(namespace=wanted, recurse=True):
        return subgraph, patch_configurable(config, {CHECKPOINTER_KEY: saver})
    return None


def own_thread(graph: Pregel, config: RunnableConfig) -> RunnableConfig:
    """`config` with the namespace that a subgraph with `checkpointer=True` stores under: the
    names of the nodes on the way, and which of the graphs that they run."""
    ns = configurable_of(config).get(CHECKPOINT_NS)
    if graph.checkpointer is not True or not ns:
        return config
    stable = NS_SEP.join(part.split(NS_END)[0] for part in ns.split(NS_SEP))
    return patch_configurable(config, {CHECKPOINT_NS: stable})


def frame(graph: Pregel, saved: Any, saver: Any, *, config: Any = None) -> Loop:
    """A loop that stands at a stored checkpoint, to plan with."""
    base = ensure_config(graph.config, saved.config if config is None else config)
    loop = Loop(graph, None, base, saver=saver)
    loop.ns = saved.config[CONF].get(CHECKPOINT_NS, "")
    load(loop, saved)
    loop.stop = loop.step + 2
    loop.updated = None
    return loop


def state(
    graph: Pregel, config: RunnableConfig, subgraphs: bool
) -> Generator[Effect, Any, StateSnapshot]:
    """The state that `config` names: of a checkpoint, or the thread's latest."""
    saver = saver_of(graph, config)
    owner = owner_of(graph, config, saver)
    if owner is not None:
        return (yield from state(*owner, subgraphs))
    config = ensure_config(graph.config, config)
    configurable = configurable_of(config)
    config = _with_thread(own_thread(graph, config))
    saved = yield Effect("get_tuple", (_plain(config),))
    live = not configurable.get(CHECKPOINT_ID)
    return (yield from snapshot(graph, config, saved, saver, subgraphs=subgraphs, live=live))


def _with_thread(config: RunnableConfig) -> RunnableConfig:
    thread_id = configurable_of(config).get(THREAD_ID)
    if thread_id is None:
        raise ValueError(
            "Checkpointer requires one or more of the following 'configurable' keys: "
            "thread_id, checkpoint_ns, checkpoint_id"
        )
    return patch_configurable(config, {THREAD_ID: str(thread_id)})


def _plain(config: RunnableConfig) -> RunnableConfig:
    configurable = {k: v for k, v in configurable_of(config).items() if k != CHECKPOINTER_KEY}
    return {CONF: {CHECKPOINT_NS: "", **configurable}}


def snapshot(
    graph: Pregel,
    config: RunnableConfig,
    saved: Any,
    saver: Any,
    *,
    subgraphs: bool = False,
    live: bool = False,
) -> Generator[Effect, Any, StateSnapshot]:
    """What a stored checkpoint says.

    With `live`, what tasks have written since counts: it is where the thread stands. Otherwise it
    is a record of the superstep's start.
    """
    if saved is None:
        return StateSnapshot({}, (), config, None, None, None, (), ())
    yield from refill(graph, saved, saver)
    loop = frame(graph, saved, saver)
    tasks = loop.plan(None)
    with_graphs = dict(graph.get_subgraphs())
    states: dict[str, Any] = {}
    for task in tasks:
        if task.name not in with_graphs:
            continue
        below: RunnableConfig = {CONF: {THREAD_ID: loop.thread_id, CHECKPOINT_NS: task.ns}}
        if subgraphs:
            below["configurable"][CHECKPOINTER_KEY] = saver
            states[task.id] = yield from state(with_graphs[task.name], below, True)
        else:
            states[task.id] = below
    cells = loop.cells
    null_writes = [(key, value) for tid, key, value in loop.pending if tid == NULL_TASK_ID]
    if null_writes:
        cells.apply([NullTask(null_writes)], stepping=False)  # type: ignore[list-item]
    if live and loop.pending:
        for task in tasks:
            task.writes.extend(loop.outputs_of(task.id))
        finished = [task for task in tasks if task.writes]
        if finished:
            cells.apply(in_order(finished))
    shown = tasks_with_results(tasks, loop.pending, states, graph.stream_keys, live=live)
    metadata = saved.metadata
    return StateSnapshot(
        cells.read(graph.stream_keys),
        tuple(task.name for task in tasks if not task.writes),
        patch_checkpoint_map(saved.config, metadata) or saved.config,
        metadata,
        saved.checkpoint["ts"],
        patch_checkpoint_map(saved.parent_config, metadata),
        shown,
        tuple(interrupt for task in shown for interrupt in task.interrupts),
    )


def history(
    graph: Pregel, config: RunnableConfig, options: dict[str, Any]
) -> Generator[Effect, Any, list[StateSnapshot]]:
    """The states of a thread, latest first."""
    saver = saver_of(graph, config)
    owner = owner_of(graph, config, saver)
    if owner is not None:
        return (yield from history(*owner, options))
    config = _with_thread(own_thread(graph, ensure_config(graph.config, config)))
    ns = configurable_of(config).get(CHECKPOINT_NS, "")
    asked = patch_configurable(_plain(config), {CHECKPOINT_NS: ns})
    found = yield Effect("list", (asked,), options)
    shown = []
    for saved in found:
        shown.append((yield from snapshot(graph, saved.config, saved, saver)))
    return shown
