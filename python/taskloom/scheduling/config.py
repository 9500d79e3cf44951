"""Every setting of an executor in one frozen record: its default, its check, its documentation.

Nearest wins: a keyword of `Executor`, then a config that it is given, then the environment, then a
TOML file, then the default. A name or a value that makes no sense is refused with what would do.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from taskloom._typing import TYPE_CHECKING, final
from taskloom.errors import OptionError
from taskloom.scheduling import _checks as checks
from taskloom.task import _nearest as nearest

if TYPE_CHECKING:
    from contextvars import ContextVar
    from typing import Any, Literal, TypedDict, Unpack

    from taskloom.scheduling.affinity import Realtime

    class Settings(TypedDict, total=False):
        """The keywords of `Executor` for its settings; `ExecutorConfig` says what each means."""

        min_workers: int
        thread_name_prefix: str
        inline: bool
        max_queue_depth: int | None
        worker_queue_depth: int | None
        when_full: Literal["block", "reject", "drop_oldest", "drop_lowest"]
        work_stealing: bool
        timing: bool
        target_latency: float | None
        overdue: Literal["first", "skip", "report"]
        deadline_lead: float
        aging: int
        default_timeout: float | None
        cancel: Literal["cooperative", "interrupt"]
        spare_workers: int
        cpu_affinity: Iterable[int] | str | None
        numa: Literal["none", "spread", "compact"]
        realtime: Realtime | tuple[str, int] | str | None
        native_threads: int | Literal["share"] | None
        adaptive: bool
        adaptive_interval: float
        cpu_target: float
        memory_limit: int | float | str | None
        resources: Mapping[str, float]
        process_context: Iterable[ContextVar[Any] | str] | str
        exit_timeout: float | None
        causality: int | None
        watchdog: float | None

    class AllSettings(Settings, total=False):
        """`Settings`, and the one that `Executor` also takes by position."""

        max_workers: int | None


__all__ = ["ExecutorConfig"]

_ENVIRONMENT = "TASKLOOM_"
# Names that the environment also knows a setting by, and those that are not settings.
_ALIASES = {"TASKLOOM_WORKERS": "max_workers", "TASKLOOM_QUEUE_DEPTH": "max_queue_depth"}
_CONFIG_FILE = "TASKLOOM_CONFIG"
# What settings are called in other libraries, for the error that names the right one.
_OTHER_WORDS = {
    "workers": "max_workers",
    "n_workers": "max_workers",
    "num_workers": "max_workers",
    "max_threads": "max_workers",
    "queue_depth": "max_queue_depth",
}


# Settings by name, in the order in which they are declared.
SETTINGS: dict[str, _Setting] = {}


class _Setting:
    """One setting of a config: read from the record's values, never set."""

    __slots__ = ("check", "default", "name")

    def __init__(self, default: Any, check: Callable[[Any], Any]) -> None:
        self.default = default
        self.check = check

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        SETTINGS[name] = self

    def __get__(self, config: ExecutorConfig | None, owner: type | None = None) -> Any:
        return self if config is None else config._values[self.name]

    def __set__(self, config: ExecutorConfig, value: object) -> None:
        raise AttributeError(
            f"a config is frozen: make another with config.replace({self.name}={value!r})"
        )

    def checked(self, value: object) -> Any:
        """The kept form of a value; `ValueError` with the setting's name if it makes no sense."""
        try:
            return self.check(value)
        except ValueError as error:
            raise ValueError(f"{self.name}={value!r}: expected {error}") from None


def _setting(default: Any, check: Callable[[Any], Any]) -> Any:
    return _Setting(default, check)


@final
class ExecutorConfig:
    """Settings of an executor, checked as one record; `Executor(config=...)` takes it.

    Every setting is a keyword here and of `Executor`, and has a variable in the environment. What
    a config does not name is looked up further: in the environment, then in a TOML file.

    Raises `OptionError` for a name that does not exist and `ValueError` for a value that makes no
    sense; both say what would do.

    >>> config = ExecutorConfig(max_workers=4, when_full="reject", memory_limit="80%")
    >>> config.replace(max_workers=8).max_workers
    8
    >>> ExecutorConfig(when_full="drop")
    Traceback (most recent call last):
    ValueError: when_full='drop': expected one of 'block', 'reject', 'drop_oldest', 'drop_lowest'
    """

    __slots__ = ("_given", "_values")

    _given: Mapping[str, Any]
    _values: Mapping[str, Any]

    max_workers: int | None = _setting(None, checks.or_none(checks.number(int, 1)))
    """How many tasks run side by side; None for `min(32, processors + 4)`, where processors are
    those that affinity and the container's quota leave. With `adaptive` only the most that may be
    active: None for 16 for each processor, 32 at least."""

    min_workers: int = _setting(1, checks.number(int, 1))
    """How few of them `adaptive` may leave active."""

    thread_name_prefix: str = _setting("", checks.text)
    """Workers are named `<prefix>_<index>`."""

    inline: bool = _setting(False, checks.flag)
    """Whether a thread from outside that waits for a task not yet started runs it itself."""

    max_queue_depth: int | None = _setting(10_000, checks.or_none(checks.number(int, 1)))
    """How many submitted tasks may wait, those included that wait for prerequisites, resources or
    worker processes; None for any number."""

    when_full: Literal["block", "reject", "drop_oldest", "drop_lowest"] = _setting(
        "block", checks.one_of("block", "reject", "drop_oldest", "drop_lowest")
    )
    """What a submit to a full queue does. "block" waits for room; it raises `QueueFull` on a thread
    that runs an event loop, and never makes a worker wait. "reject" raises `QueueFull`.
    "drop_oldest" gives up the task that waits longest, "drop_lowest" the least urgent one, which
    may be the new one; the future of a dropped task ends with `QueueFull`."""

    work_stealing: bool = _setting(True, checks.flag)
    """Whether a worker keeps the tasks that its tasks submit in a queue of its own, from which idle
    ones steal. Without it they go to the shared queue, which keeps the order of submission exactly.
    No effect on a build with the GIL, where the shared queue is all there is."""

    worker_queue_depth: int | None = _setting(None, checks.or_none(checks.number(int, 1)))
    """How many tasks that queue of a worker's own may hold; what is more goes to the shared one.
    None for any number. No effect on a build with the GIL."""

    timing: bool = _setting(False, checks.flag)
    """Whether the times of tasks are recorded, for `Future.timing` and `stats()`."""

    target_latency: float | None = _setting(
        None, checks.or_none(checks.number(float, 0, above=True))
    )
    """Seconds that 99 of 100 tasks should wait in the queue at most, over the last ten seconds;
    `is_meeting_latency_target()` tells. Switches `timing` on."""

    overdue: Literal["first", "skip", "report"] = _setting(
        "skip", checks.one_of("first", "skip", "report")
    )
    """What becomes of a task that is still queued when its deadline passes: "first" runs it before
    all others, "skip" ends its future with `DeadlineMissed`, "report" runs it in its turn and
    counts it."""

    deadline_lead: float = _setting(0.1, checks.number(float, 0))
    """Seconds before its deadline from which on a queued task is drawn forward, band by band."""

    aging: int = _setting(64, checks.number(int, 0))
    """Every how many starts from the shared queue the oldest task goes first, so that low priority
    does not starve; 0 for never."""

    default_timeout: float | None = _setting(
        None, checks.or_none(checks.number(float, 0, above=True))
    )
    """Seconds per attempt for tasks that say nothing else."""

    cancel: Literal["cooperative", "interrupt"] = _setting(
        "cooperative", checks.one_of("cooperative", "interrupt")
    )
    """How a running task is cancelled: "cooperative" sets its token, "interrupt" also raises
    `Cancelled` in its thread at the next Python instruction."""

    spare_workers: int = _setting(64, checks.number(int, 0))
    """How many extra threads may take the place of workers that wait or hang."""

    cpu_affinity: tuple[int, ...] | Literal["spread", "compact"] | None = _setting(
        None, checks.or_none(checks.cpus)
    )
    """Processors that the workers run on. Numbers: all of them on any of these. "spread" ties each
    to one processor, as far apart as there are, for the most cache and memory bandwidth; "compact"
    to neighbouring ones, for the least traffic between them. None for no restriction."""

    numa: Literal["none", "spread", "compact"] = _setting(
        "none", checks.one_of("none", "spread", "compact")
    )
    """How workers are tied to memory nodes: "spread" deals them out to the nodes in turn, "compact"
    fills one node after the other. Each then steals from its nearest neighbours first, where there
    is something to steal: on a free-threaded build."""

    realtime: Realtime | None = _setting(None, checks.or_none(checks.realtime))
    """The real-time class of the workers: "fifo:10", "rr:5" or a `Realtime`."""

    native_threads: int | Literal["share"] | None = _setting(None, checks.or_none(checks.threads))
    """How many threads numeric libraries (BLAS, OpenMP) may use for each worker, and for each
    worker process: a number, or "share" for the processors that it has for itself, so that two
    levels do not oversubscribe. BLAS libraries have one number for the process: the least asked for
    holds while workers live. Needs the extra `numeric`. None leaves them alone."""

    adaptive: bool = _setting(False, checks.flag)
    """Whether the number of active workers follows the measured throughput, between `min_workers`
    and `max_workers`."""

    adaptive_interval: float = _setting(0.1, checks.number(float, 0.001))
    """Seconds between two decisions of `adaptive`."""

    cpu_target: float = _setting(0.95, checks.number(float, 0, 1, above=True))
    """Share of the processors above which `adaptive` tries no more workers."""

    memory_limit: int | float | None = _setting(None, checks.or_none(checks.memory))
    """Memory above which `adaptive` takes workers away and which tasks with memory needs share:
    bytes, text as "2 GiB", or a share of what the container or the machine has. None is 90 % of
    that."""

    resources: Mapping[str, float] = _setting(MappingProxyType({}), checks.amounts)
    """Amounts of resources that tasks may need beyond cpu, memory and io, as {"gpu": 2}; or other
    amounts of those three."""

    process_context: tuple[ContextVar[Any] | str, ...] = _setting((), checks.variables)
    """The context variables whose values, as of the submit, tasks find in worker processes:
    variables of an imported module, or where they are, as "package.module:NAME"."""

    exit_timeout: float | None = _setting(None, checks.or_none(checks.number(float, 0)))
    """Seconds that the interpreter's exit waits for running tasks; None until they are done."""

    causality: int | None = _setting(None, checks.or_none(checks.number(int, 1)))
    """Of how many tasks of each thread `Executor.causality` tells; None records nothing."""

    watchdog: float | None = _setting(None, checks.or_none(checks.number(float, 0, above=True)))
    """Seconds without any progress, while tasks are queued, after which who waits for whom is
    logged; None for never."""

    def __init__(self, **settings: Unpack[AllSettings]) -> None:
        given = {name: _named(name).checked(value) for name, value in settings.items()}
        values = {name: setting.default for name, setting in SETTINGS.items()} | given
        self._given = MappingProxyType(given)
        self._values = MappingProxyType(values)
        if self.max_workers is not None and self.min_workers > self.max_workers:
            raise ValueError(
                f"min_workers={self.min_workers} is more than max_workers={self.max_workers}"
            )
        if isinstance(self.cpu_affinity, str) and self.numa != "none":
            raise ValueError(
                f"cpu_affinity={self.cpu_affinity!r} ties each worker to one processor, so that "
                f"numa={self.numa!r} has nothing left to say: name one of the two"
            )

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> ExecutorConfig:
        """A config from settings by name.

        >>> ExecutorConfig.of({"max_worker": 4})
        Traceback (most recent call last):
        taskloom.errors.OptionError: there is no setting 'max_worker'; did you mean 'max_workers'?
        """
        return cls(**settings)

    @classmethod
    def load(
        cls, environ: Mapping[str, str] | None = None, **settings: Unpack[AllSettings]
    ) -> ExecutorConfig:
        """A config from the settings given here, then the environment, then a file, then defaults.

        `environ` is the environment, by default the process's own. `TASKLOOM_WORKERS=4` sets
        `max_workers`, and every other setting has a variable of its name in capitals, such as
        `TASKLOOM_WHEN_FULL`. `TASKLOOM_CONFIG` names a TOML file, of which `from_toml` tells.

        >>> ExecutorConfig.load({"TASKLOOM_WORKERS": "4"}, timing=True).max_workers
        4
        """
        return cls.of(_from_outside(os.environ if environ is None else environ) | settings)

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str]) -> ExecutorConfig:
        """A config from a TOML file: its table `executor`, or `tool.taskloom.executor`.

        >>> import pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp(), "taskloom.toml")
        >>> _ = file.write_text("[executor]\\nmax_workers = 4\\nwhen_full = 'reject'\\n")
        >>> ExecutorConfig.from_toml(file).when_full
        'reject'
        """
        return cls.of(_table_of(path))

    def replace(self, **settings: Unpack[AllSettings]) -> ExecutorConfig:
        """A copy with other values for some settings.

        >>> ExecutorConfig().replace(aging=0).aging
        0
        """
        return ExecutorConfig.of({**self._given, **settings})

    def as_dict(self) -> dict[str, Any]:
        """All settings with their values, as a new dictionary.

        >>> ExecutorConfig(max_workers=4).as_dict()["max_workers"]
        4
        """
        return dict(self._values)

    def worker_count(self) -> int:
        """How many workers there may be: `max_workers` with its default worked out.

        >>> ExecutorConfig(max_workers=3).worker_count()
        3
        """
        if self.max_workers is not None:
            return self.max_workers
        from taskloom.scheduling.cpus import cpu_count

        tied = None if isinstance(self.cpu_affinity, str) else self.cpu_affinity
        count = cpu_count(tied)
        if self.adaptive:
            # Only a bound: as many as pay are active, and threads are started when they are needed.
            return max(32, 16 * count)
        return min(32, count + 4)

    def __eq__(self, other: object) -> bool:
        return (
            self._values == other._values if isinstance(other, ExecutorConfig) else NotImplemented
        )

    def __hash__(self) -> int:
        return hash(frozenset((name, str(value)) for name, value in self._values.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        plain = {
            name: dict(value) if isinstance(value, Mapping) else value
            for name, value in self._given.items()
        }
        return ExecutorConfig.of, (plain,)

    def __repr__(self) -> str:
        named = {
            name: dict(value) if isinstance(value, Mapping) else value
            for name, value in self._values.items()
            if value != SETTINGS[name].default
        }
        return f"ExecutorConfig({', '.join(f'{name}={value!r}' for name, value in named.items())})"


def settle(config: ExecutorConfig | None, keywords: Mapping[str, Any]) -> ExecutorConfig:
    """What an executor is made with: its keywords, over a config, over what is set outside."""
    if not (config is None or isinstance(config, ExecutorConfig)):
        raise TypeError(f"config={config!r} must be an ExecutorConfig")
    found = _from_outside(os.environ)
    if config is not None:
        found |= config._given
    return ExecutorConfig.of(found | dict(keywords))


def _named(name: str) -> _Setting:
    setting = SETTINGS.get(name)
    if setting is None:
        raise OptionError(f"there is no setting {name!r}; {_meant_by(name)}")
    return setting


def _meant_by(name: str) -> str:
    """Which setting somebody may have meant, also by what it is called elsewhere."""
    from difflib import get_close_matches

    for found in get_close_matches(name, (*_OTHER_WORDS, *SETTINGS), 1, 0.5):
        return f"did you mean {_OTHER_WORDS.get(found, found)!r}?"
    return nearest(name, tuple(SETTINGS))


def _from_outside(environ: Mapping[str, str]) -> dict[str, Any]:
    """What the environment sets, over the file that it names."""
    variables = {name: text for name, text in environ.items() if name.startswith(_ENVIRONMENT)}
    if not variables:
        return {}
    path = variables.pop(_CONFIG_FILE, "")
    try:
        found = _table_of(path) if path else {}
    except OSError as error:
        error.add_note(f"environment: {_CONFIG_FILE}={path!r} names the file with the settings")
        raise
    names = {_ENVIRONMENT + name.upper(): name for name in SETTINGS} | _ALIASES
    for variable, text in variables.items():
        if variable not in names:
            raise OptionError(
                f"environment: there is no setting {variable}; "
                f"{nearest(variable, (*names, _CONFIG_FILE))}"
            )
        setting = SETTINGS[names[variable]]
        try:
            found[setting.name] = setting.check(text)
        except ValueError as error:
            raise ValueError(f"environment: {variable}={text!r}: expected {error}") from None
    return found


def _table_of(path: str | os.PathLike[str]) -> dict[str, Any]:
    import tomllib

    try:
        with open(path, "rb") as file:
            document = tomllib.load(file)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{os.fspath(path)} is no TOML: {error}") from None
    for names in (("executor",), ("tool", "taskloom", "executor")):
        table: Any = document
        for name in names:
            table = table.get(name) if isinstance(table, dict) else None
        if isinstance(table, dict):
            try:
                return {name: _named(name).checked(value) for name, value in table.items()}
            except (OptionError, ValueError) as error:
                raise type(error)(f"{os.fspath(path)}, [{'.'.join(names)}]: {error}") from None
    raise ValueError(
        f"{os.fspath(path)} has neither a table [executor] nor [tool.taskloom.executor]"
    )
