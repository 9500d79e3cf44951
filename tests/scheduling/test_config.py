from __future__ import annotations

import ast
import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
from taskloom.errors import OptionError
from taskloom.scheduling.affinity import Realtime
from taskloom.scheduling.config import ExecutorConfig

WRONG: list[tuple[str, Any, str]] = [
    ("max_workers", 0, "a whole number of at least 1, or None"),
    ("max_workers", True, "a whole number"),
    ("max_workers", 2.5, "a whole number"),
    ("max_workers", "many", "a whole number"),
    ("min_workers", 0, "at least 1"),
    ("thread_name_prefix", 3, "text"),
    ("inline", 2, "true or false"),
    ("max_queue_depth", -1, "at least 1"),
    ("when_full", "drop", "one of 'block', 'reject'"),
    ("target_latency", 0, "above 0"),
    ("target_latency", float("nan"), "above 0"),
    ("cpu_affinity", "3-1", "'spread', 'compact', or processor numbers"),
    ("cpu_affinity", (), "processor numbers"),
    ("process_context", "TENANT", "package.module:NAME"),
    ("process_context", [3], "package.module:NAME"),
    ("cpu_affinity", (0, "1"), "processor numbers"),
    ("cpu_affinity", (-1,), "processor numbers"),
    ("numa", "near", "one of 'none', 'spread', 'compact'"),
    ("realtime", "soft", "'fifo' or 'rr:20'"),
    ("realtime", "fifo:100", "a priority from 1 to 99"),
    ("cpu_target", 1.5, "at most 1"),
    ("memory_limit", "lots", "'2 GiB', or a share"),
    ("memory_limit", "120%", "at most 100"),
    ("memory_limit", 1.5, "a share such as '80%' or 0.8"),
    ("resources", {"gpu": -1}, "a mapping of resource names"),
    ("resources", [1], "a mapping of resource names"),
    ("exit_timeout", -1, "at least 0"),
]


@pytest.mark.parametrize(("name", "value", "expected"), WRONG)
def test_a_wrong_value_is_refused_with_the_setting_and_what_would_do(
    name: str, value: object, expected: str
) -> None:
    with pytest.raises(ValueError, match=f"^{name}=") as caught:
        ExecutorConfig.of({name: value})
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("max_workers", None, None),
        ("max_queue_depth", "none", None),
        ("cpu_affinity", "0-2,5", (0, 1, 2, 5)),
        ("cpu_affinity", {3, 1}, (1, 3)),
        ("process_context", "shop:TENANT, shop.users:USER", ("shop:TENANT", "shop.users:USER")),
        ("memory_limit", "2 GiB", 2 << 30),
        ("memory_limit", "80%", 0.8),
        ("memory_limit", 0.5, 0.5),
        ("realtime", "fifo:10", Realtime("fifo", 10)),
        ("target_latency", 1, 1.0),
        ("resources", {"gpu": 2}, {"gpu": 2.0}),
        ("inline", "on", True),
    ],
)
def test_values_are_brought_into_one_form(name: str, given: object, kept: object) -> None:
    assert getattr(ExecutorConfig.of({name: given}), name) == kept


def test_a_wrong_name_is_refused_with_the_nearest_right_one() -> None:
    with pytest.raises(OptionError, match="no setting 'when_ful'; did you mean 'when_full'"):
        ExecutorConfig.of({"when_ful": "block"})
    for name in ("workers", "n_workers", "worker"):
        with pytest.raises(OptionError, match="did you mean 'max_workers'"):
            ExecutorConfig.of({name: 1})
    with pytest.raises(OptionError, match="did you mean 'aging'"):
        ExecutorConfig().replace(agin=1)


def test_a_config_cannot_be_changed_but_copied_with_changes() -> None:
    config = ExecutorConfig(max_workers=2)
    with pytest.raises(AttributeError, match="frozen: make another with"):
        config.max_workers = 3  # type: ignore[misc]
    assert config.replace(aging=0) == ExecutorConfig(max_workers=2, aging=0)


def test_a_config_can_be_pickled_and_copied() -> None:
    config = ExecutorConfig(max_workers=2, resources={"gpu": 1}, realtime=Realtime("rr", 5))
    assert pickle.loads(pickle.dumps(config)) == config == copy.deepcopy(config)


def test_bounds_of_the_number_of_workers_must_agree() -> None:
    with pytest.raises(ValueError, match="min_workers=5 is more than max_workers=4"):
        ExecutorConfig(min_workers=5, max_workers=4)


def test_every_setting_has_a_variable_in_the_environment() -> None:
    environ = {
        "TASKLOOM_WORKERS": "4",
        "TASKLOOM_WHEN_FULL": "reject",
        "TASKLOOM_TIMING": "1",
        "TASKLOOM_MEMORY_LIMIT": "80%",
        "TASKLOOM_RESOURCES": "gpu=2,licence=0.5",
        "TASKLOOM_EXIT_TIMEOUT": "none",
        "PATH": "/bin",
    }
    config = ExecutorConfig.load(environ)
    assert config == ExecutorConfig(
        max_workers=4,
        when_full="reject",
        timing=True,
        memory_limit=0.8,
        resources={"gpu": 2, "licence": 0.5},
    )


def test_a_wrong_variable_is_refused_with_the_nearest_right_one() -> None:
    with pytest.raises(OptionError, match="TASKLOOM_WORKRES; did you mean 'TASKLOOM_WORKERS'"):
        ExecutorConfig.load({"TASKLOOM_WORKRES": "4"})


def test_a_wrong_value_in_the_environment_names_its_variable() -> None:
    with pytest.raises(ValueError, match="environment: TASKLOOM_WORKERS='x': expected a whole"):
        ExecutorConfig.load({"TASKLOOM_WORKERS": "x"})


@pytest.mark.parametrize("table", ["executor", "tool.taskloom.executor"])
def test_a_toml_table_sets_what_it_names(tmp_path: Path, table: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(f"[{table}]\nmax_workers = 3\ncpu_affinity = [0, 1]\nresources = {{gpu = 1}}\n")
    config = ExecutorConfig.from_toml(file)
    assert config == ExecutorConfig(max_workers=3, cpu_affinity=(0, 1), resources={"gpu": 1})


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("[executor]\nworkers = 3\n", OptionError, r"\[executor\]: there is no setting 'workers'"),
        ("[executor]\naging = -1\n", ValueError, r"\[executor\]: aging=-1: expected"),
        ("[other]\n", ValueError, r"neither a table \[executor\] nor"),
        ("=", ValueError, "is no TOML"),
    ],
)
def test_a_wrong_toml_file_is_refused_with_its_name(
    tmp_path: Path, text: str, error: type[Exception], message: str
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    with pytest.raises(error, match=message) as caught:
        ExecutorConfig.from_toml(file)
    assert str(file) in str(caught.value)


def test_the_nearest_wins_program_then_environment_then_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("[executor]\nmax_workers = 1\nmin_workers = 1\naging = 1\nspare_workers = 1\n")
    environ = {"TASKLOOM_CONFIG": str(file), "TASKLOOM_WORKERS": "2", "TASKLOOM_AGING": "2"}
    config = ExecutorConfig.load(environ, max_workers=3)
    assert (config.max_workers, config.aging, config.spare_workers) == (3, 2, 1)


def test_every_setting_is_documented() -> None:
    source = Path(__import__(ExecutorConfig.__module__, fromlist=["x"]).__file__).read_text()
    for name in ExecutorConfig().as_dict():
        _, _, after = source.partition("\nclass ExecutorConfig")[2].partition(f"\n    {name}: ")
        assert after.partition('"""')[0].count("\n\n") == 0, f"{name} has no text"


def test_keywords_of_an_executor_are_the_settings() -> None:
    # The types are there for type checkers only.
    source = Path(__import__(ExecutorConfig.__module__, fromlist=["x"]).__file__).read_text()
    (typed,) = (
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ClassDef) and node.name == "Settings"
    )
    names = {ast.unparse(node.target) for node in typed.body if isinstance(node, ast.AnnAssign)}
    assert names | {"max_workers"} == set(ExecutorConfig().as_dict())


def test_the_settings_page_lists_every_setting() -> None:
    page = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
    table = [line for line in page.splitlines() if line.startswith("| `")]
    listed = [line.split("`")[1] for line in table]
    assert listed == list(ExecutorConfig().as_dict())


def test_a_missing_file_of_settings_is_told_with_the_variable_that_names_it(tmp_path: Path) -> None:
    path = str(tmp_path / "none.toml")
    with pytest.raises(FileNotFoundError) as caught:
        ExecutorConfig.load({"TASKLOOM_CONFIG": path})
    assert "TASKLOOM_CONFIG" in caught.value.__notes__[0]
