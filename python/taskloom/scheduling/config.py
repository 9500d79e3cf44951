"""Every setting of an executor in one frozen record: its default, its check, its documentation.

Nearest wins: what is written in the program, then the environment, then a TOML table, then the
defaults. A name or a value that makes no sense is refused with what would.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, final

from taskloom.errors import OptionError
from taskloom.scheduling.affinity import Realtime, usable_cpus
from taskloom.scheduling.topology import parse_cpu_list
from taskloom.scheduling.units import parse_bytes
from taskloom.task import _nearest as nearest

__all__ = ["ExecutorConfig"]

_ENVIRONMENT = "TASKLOOM_"
# Names that the environment also knows a setting by, and those that are not settings.
_ALIASES = {"TASKLOOM_WORKERS": "max_workers", "TASKLOOM_QUEUE_DEPTH": "max_queue_depth"}
_CONFIG_FILE = "TASKLOOM_CONFIG"

_Check = Callable[[Any], Any]


def _setting(default: Any, check: _Check) -> Any:
    return field(default=default, metadata={"check": check})


def _refuse(expected: str) -> ValueError:
    return ValueError(expected)


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    known = {"1": True, "true": True, "yes": True, "on": True}
    known |= {"0": False, "false": False, "no": False, "off": False}
    if isinstance(value, str) and value.lower() in known:
        return known[value.lower()]
    raise _refuse("true or false")


def _number(
    kind: type[int] | type[float], low: float, high: float = float("inf"), *, above: bool = False
) -> _Check:
    """A number from `low` (or just above it) to `high`; text is read, bool is not a number."""
    noun = "a whole number" if kind is int else "a number"
    bound = f"above {low:g}" if above else f"of at least {low:g}"
    expected = f"{noun} {bound}" + (f" and at most {high:g}" if high < float("inf") else "")

    def check(value: object) -> int | float:
        number: int | float | None = None
        if isinstance(value, str):
            try:
                number = kind(value)
            except ValueError:
                number = None
        elif isinstance(value, kind) and not isinstance(value, bool):
            number = value
        elif kind is float and isinstance(value, int) and not isinstance(value, bool):
            number = float(value)
        if number is None or not (low < number if above else low <= number) or not number <= high:
            raise _refuse(expected)
        return number

    return check


def _or_none(check: _Check, word: str = "none") -> _Check:
    def check_or_none(value: object) -> Any:
        if value is None or (isinstance(value, str) and value.lower() == word):
            return None
        try:
            return check(value)
        except ValueError as error:
            raise _refuse(f"{error}, or None") from None

    return check_or_none


def _one_of(*choices: str) -> _Check:
    def check(value: object) -> str:
        if isinstance(value, str) and value in choices:
            return value
        raise _refuse("one of " + ", ".join(map(repr, choices)))

    return check


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise _refuse("text")


def _cpus(value: object) -> tuple[int, ...]:
    expected = "processor numbers, as (0, 2) or '0-3,8'"
    if isinstance(value, str):
        try:
            numbers: tuple[object, ...] = parse_cpu_list(value)
        except ValueError:
            raise _refuse(expected) from None
    elif isinstance(value, (list, tuple, set, frozenset, range)):
        numbers = tuple(value)
    else:
        raise _refuse(expected)
    cpus = tuple(sorted({n for n in numbers if isinstance(n, int) and not isinstance(n, bool)}))
    if len(cpus) != len(numbers) or not cpus or cpus[0] < 0:
        raise _refuse(expected)
    return cpus


def _memory(value: object) -> int | float:
    """Bytes as an int, or a share of what there is as a float."""
    if isinstance(value, str) and value.strip().endswith("%"):
        share: object = _number(float, 0, 100, above=True)(value.strip()[:-1]) / 100
    else:
        share = value
    if isinstance(share, float) and 0 < share <= 1:
        return share
    try:
        amount = parse_bytes(share)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        amount = 0
    if amount < 1:
        raise _refuse("an amount of memory such as '2 GiB', or a share such as '80%' or 0.8")
    return amount


def _amounts(value: object) -> dict[str, float]:
    number = _number(float, 0)
    if isinstance(value, Mapping):
        try:
            return {_text(name): number(amount) for name, amount in value.items()}
        except ValueError:
            pass
    raise _refuse("a mapping of resource names to amounts, as {'gpu': 2}")


def _realtime(value: object) -> Realtime:
    try:
        return Realtime.parse(value)
    except ValueError as error:
        raise _refuse(str(error)) from None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorConfig:
    """Settings of an executor, checked as one record.

    `Executor` does not take such a record yet, and has only some of these settings as keywords:
    a setting has no effect before it does.

    Raises `OptionError` for a name that does not exist and `ValueError` for a value that makes no
    sense; both say what would do.

    >>> config = ExecutorConfig(max_workers=4, when_full="reject", memory_limit="80%")
    >>> config.replace(max_workers=8).max_workers
    8
    >>> ExecutorConfig(when_full="drop")
    Traceback (most recent call last):
    ValueError: when_full='drop': expected one of 'block', 'reject', 'drop_oldest', 'drop_lowest'
    """

    max_workers: int | None = _setting(None, _or_none(_number(int, 1)))
    """How many tasks run side by side; None for `min(32, processors + 4)`, where processors are
    those that affinity and the container's quota leave."""

    min_workers: int = _setting(1, _number(int, 1))
    """How few of them `adaptive` may leave active."""

    thread_name_prefix: str = _setting("", _text)
    """Workers are named `<prefix>_<index>`."""

    inline: bool = _setting(False, _flag)
    """Whether a thread from outside that waits for a task not yet started runs it itself."""

    max_queue_depth: int | None = _setting(10_000, _or_none(_number(int, 1)))
    """How many submitted tasks may wait; None for any number."""

    when_full: Literal["block", "reject", "drop_oldest", "drop_lowest"] = _setting(
        "block", _one_of("block", "reject", "drop_oldest", "drop_lowest")
    )
    """What a submit to a full queue does. "block" waits for room; it raises `QueueFull` on a thread
    that runs an event loop, and never makes a worker wait. "reject" raises `QueueFull`.
    "drop_oldest" gives up the task that waits longest, "drop_lowest" the least urgent one, which
    may be the new one; the future of a dropped task ends with `QueueFull`."""

    work_stealing: bool = _setting(True, _flag)
    """Whether an idle worker takes from the queues of others. Without it the tasks that a task
    submits are shared out through the common queue."""

    timing: bool = _setting(False, _flag)
    """Whether the times of tasks are recorded, for `Future.timing` and `stats()`."""

    target_latency: float | None = _setting(None, _or_none(_number(float, 0, above=True)))
    """Seconds that 99 of 100 tasks should wait in the queue at most, over the last ten seconds;
    `is_meeting_latency_target()` tells. Switches `timing` on."""

    overdue: Literal["first", "skip", "report"] = _setting(
        "skip", _one_of("first", "skip", "report")
    )
    """What becomes of a task that is still queued when its deadline passes: "first" runs it before
    all others, "skip" ends its future with `DeadlineMissed`, "report" runs it in its turn and
    counts it."""

    deadline_lead: float = _setting(0.1, _number(float, 0))
    """Seconds before its deadline from which on a queued task is drawn forward, band by band."""

    aging: int = _setting(64, _number(int, 0))
    """Every how many starts from the shared queue the oldest task goes first, so that low priority
    does not starve; 0 for never."""

    default_timeout: float | None = _setting(None, _or_none(_number(float, 0, above=True)))
    """Seconds per attempt for tasks that say nothing else."""

    cancel: Literal["cooperative", "interrupt"] = _setting(
        "cooperative", _one_of("cooperative", "interrupt")
    )
    """How a running task is cancelled: "cooperative" sets its token, "interrupt" also raises
    `Cancelled` in its thread at the next Python instruction."""

    spare_workers: int = _setting(8, _number(int, 0))
    """How many extra threads may take the place of workers that wait or hang."""

    cpu_affinity: tuple[int, ...] | None = _setting(None, _or_none(_cpus))
    """Processors that the workers run on, all of them on any of these; None for no restriction."""

    numa: Literal["none", "spread", "compact"] = _setting(
        "none", _one_of("none", "spread", "compact")
    )
    """How workers are tied to memory nodes: "spread" deals them out to the nodes in turn, "compact"
    fills one node after the other. Each then steals from its nearest neighbours first."""

    realtime: Realtime | None = field(default=None, metadata={"check": _or_none(_realtime)})
    """The real-time class of the workers: "fifo:10", "rr:5" or a `Realtime`."""

    adaptive: bool = _setting(False, _flag)
    """Whether the number of active workers follows the measured throughput, between `min_workers`
    and `max_workers`."""

    adaptive_interval: float = _setting(0.1, _number(float, 0.001))
    """Seconds between two decisions of `adaptive`."""

    cpu_target: float = _setting(0.95, _number(float, 0, 1, above=True))
    """Share of the processors above which `adaptive` tries no more workers."""

    memory_limit: int | float | None = _setting(None, _or_none(_memory))
    """Memory above which `adaptive` takes workers away and which tasks with memory needs share:
    bytes, text as "2 GiB", or a share of what the container or the machine has. None is 90 % of
    that."""

    resources: Mapping[str, float] = field(default_factory=dict, metadata={"check": _amounts})
    """Amounts of resources that tasks may need beyond cpu, memory and io, as {"gpu": 2}; or other
    amounts of those three."""

    exit_timeout: float | None = _setting(None, _or_none(_number(float, 0)))
    """Seconds that the interpreter's exit waits for running tasks; None until they are done."""

    watchdog: float | None = _setting(None, _or_none(_number(float, 0, above=True)))
    """Seconds without any progress, while tasks are queued, after which who waits for whom is
    logged; None for never."""

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = getattr(self, setting.name)
            try:
                checked = setting.metadata["check"](value)
            except ValueError as error:
                raise ValueError(f"{setting.name}={value!r}: expected {error}") from None
            object.__setattr__(self, setting.name, checked)
        if self.max_workers is not None and self.min_workers > self.max_workers:
            raise ValueError(
                f"min_workers={self.min_workers} is more than max_workers={self.max_workers}"
            )

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> ExecutorConfig:
        """A config from settings by name.

        >>> ExecutorConfig.of({"max_worker": 4})
        Traceback (most recent call last):
        taskloom.errors.OptionError: there is no setting 'max_worker'; did you mean 'max_workers'?
        """
        _check_names(settings)
        return cls(**settings)

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **settings: Any) -> ExecutorConfig:
        """A config from the settings given here, then the environment, then a file, then defaults.

        `environ` is the environment, by default the process's own. `TASKLOOM_WORKERS=4` sets
        `max_workers`, and every other setting has a variable of its name in capitals, such as
        `TASKLOOM_WHEN_FULL`. `TASKLOOM_CONFIG` names a TOML file, of which `from_toml` tells.

        >>> ExecutorConfig.load({"TASKLOOM_WORKERS": "4"}, timing=True).max_workers
        4
        """
        environ = os.environ if environ is None else environ
        found: dict[str, Any] = {}
        if path := environ.get(_CONFIG_FILE):
            found = _table_of(path)
        found |= _of_environment(environ)
        _check_names(settings)
        return cls(**(found | settings))

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str]) -> ExecutorConfig:
        """A config from a TOML file: its table `executor`, or `tool.taskloom.executor`.

        >>> import pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp(), "taskloom.toml")
        >>> _ = file.write_text("[executor]\\nmax_workers = 4\\nwhen_full = 'reject'\\n")
        >>> ExecutorConfig.from_toml(file).when_full
        'reject'
        """
        return cls(**_table_of(path))

    def replace(self, **settings: Any) -> ExecutorConfig:
        """A copy with other values for some settings.

        >>> ExecutorConfig().replace(aging=0).aging
        0
        """
        _check_names(settings)
        return replace(self, **settings)

    def worker_count(self) -> int:
        """How many workers there may be: `max_workers` with its default worked out.

        >>> ExecutorConfig(max_workers=3).worker_count()
        3
        """
        if self.max_workers is not None:
            return self.max_workers
        from taskloom.scheduling.container import ControlGroup

        cpus: float = len(self.cpu_affinity or usable_cpus())
        quota = ControlGroup().cpu_quota()
        if quota is not None:
            cpus = min(cpus, max(1.0, quota))
        return min(32, int(cpus) + 4)


def _check_names(settings: Mapping[str, Any]) -> None:
    known = tuple(setting.name for setting in fields(ExecutorConfig))
    for name in settings:
        if name not in known:
            raise OptionError(f"there is no setting {name!r}; {nearest(name, known)}")


def _of_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    names = {_ENVIRONMENT + setting.name.upper(): setting for setting in fields(ExecutorConfig)}
    names |= {
        alias: setting
        for alias, name in _ALIASES.items()
        for setting in fields(ExecutorConfig)
        if setting.name == name
    }
    found: dict[str, Any] = {}
    for variable, text in environ.items():
        if not variable.startswith(_ENVIRONMENT) or variable == _CONFIG_FILE:
            continue
        setting = names.get(variable)
        if setting is None:
            raise OptionError(
                f"environment: there is no setting {variable}; "
                f"{nearest(variable, (*names, _CONFIG_FILE))}"
            )
        try:
            value: object = _pairs(text) if setting.name == "resources" else text
            found[setting.name] = setting.metadata["check"](value)
        except ValueError as error:
            raise ValueError(f"environment: {variable}={text!r}: expected {error}") from None
    return found


def _pairs(text: str) -> dict[str, str]:
    """The environment's notation for a mapping: gpu=2,licence=5."""
    pairs = [part.partition("=") for part in text.split(",") if part]
    return {name.strip(): amount.strip() for name, _, amount in pairs}


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
                return _checked(table)
            except (OptionError, ValueError) as error:
                raise type(error)(f"{os.fspath(path)}, [{'.'.join(names)}]: {error}") from None
    raise ValueError(
        f"{os.fspath(path)} has neither a table [executor] nor [tool.taskloom.executor]"
    )


def _checked(table: dict[str, Any]) -> dict[str, Any]:
    _check_names(table)
    ExecutorConfig(**table)
    return table
