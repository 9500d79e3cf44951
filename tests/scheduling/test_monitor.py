from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from taskloom.scheduling.container import ControlGroup
from taskloom.scheduling.monitor import ResourceMonitor

MIB = 1 << 20


class Machine:
    """A simulated root file system and the clocks that go with it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now = 0.0
        self.cpu = 0.0
        self.write("proc/self/cgroup", "0::/box/inner\n")
        self.write("proc/meminfo", "MemTotal: 8192 kB\nMemFree: 1 kB\nMemAvailable: 6144 kB\n")

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def monitor(self) -> ResourceMonitor:
        return ResourceMonitor(root=self.root, clock=lambda: self.now, cpu_clock=lambda: self.cpu)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def second_version(machine: Machine, **files: str) -> None:
    machine.write("sys/fs/cgroup/cgroup.controllers", "cpu memory")
    for name, text in files.items():
        group, _, file = name.partition("__")
        path = {"inner": "box/inner/", "box": "box/", "top": ""}[group]
        machine.write(f"sys/fs/cgroup/{path}{file.replace('_', '.', 1)}", text + "\n")


def test_rates_are_taken_between_two_samples(machine: Machine) -> None:
    machine.write("proc/stat", "cpu 100 0 100 700 100 0 0 0 0 0\ncpu0 1 1 1 1\n")
    monitor = machine.monitor()
    machine.write("proc/stat", "cpu 130 0 120 720 130 0 0 0 0 0\ncpu0 1 1 1 1\n")
    machine.now, machine.cpu = 2.0, 3.0
    sample = monitor.sample()
    assert sample.process_cpu == 1.5
    assert sample.system_cpu == pytest.approx(0.5)
    assert sample.io_wait == pytest.approx(0.3)


def test_pressure_is_the_share_of_the_interval_that_was_stalled(machine: Machine) -> None:
    def stalled(microseconds: int) -> str:
        return f"some avg10=0.00 avg60=0.00 avg300=0.00 total={microseconds}\nfull total=7\n"

    machine.write("proc/pressure/io", stalled(1_000_000))
    monitor = machine.monitor()
    machine.write("proc/pressure/io", stalled(1_500_000))
    machine.now = 2.0
    sample = monitor.sample()
    assert sample.io_pressure == 0.25
    assert sample.memory_pressure is None


def test_memory_is_that_of_the_machine_without_a_container(machine: Machine) -> None:
    sample = machine.monitor().sample()
    assert (sample.memory_limit, sample.memory_used) == (8 * MIB, 2 * MIB)
    assert sample.memory_share == 0.25


def test_the_tightest_limit_on_the_way_up_counts(machine: Machine) -> None:
    second_version(
        machine,
        inner__memory_max="max",
        box__memory_max=str(4 * MIB),
        box__memory_current=str(3 * MIB),
        box__memory_stat=f"anon 5\ninactive_file {MIB}",
        inner__cpu_max="max 100000",
        box__cpu_max="50000 100000",
    )
    sample = machine.monitor().sample()
    assert (sample.memory_limit, sample.memory_used) == (4 * MIB, 2 * MIB)
    assert sample.cpus == 0.5


def test_a_memory_limit_above_what_the_machine_has_does_not_count(machine: Machine) -> None:
    second_version(machine, inner__memory_max=str(100 * MIB), inner__memory_current="1")
    assert machine.monitor().sample().memory_limit == 8 * MIB


def test_the_soft_memory_limit_of_a_container_counts(machine: Machine) -> None:
    second_version(
        machine,
        inner__memory_max="max",
        inner__memory_high=str(MIB),
        inner__memory_current=str(MIB // 2),
    )
    assert machine.monitor().sample().memory_share == 0.5


def test_the_first_version_of_control_groups_is_read(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "4:memory:/box\n2:cpu,cpuacct:/box\n0::/\n")
    base = "sys/fs/cgroup"
    machine.write(f"{base}/memory/memory.limit_in_bytes", "9223372036854771712")
    machine.write(f"{base}/memory/box/memory.limit_in_bytes", str(2 * MIB))
    machine.write(f"{base}/memory/box/memory.usage_in_bytes", str(2 * MIB))
    machine.write(f"{base}/memory/box/memory.stat", f"total_inactive_file {MIB}")
    machine.write(f"{base}/cpu/box/cpu.cfs_quota_us", "25000")
    machine.write(f"{base}/cpu/box/cpu.cfs_period_us", "100000")
    machine.write(f"{base}/cpu/cpu.cfs_quota_us", "-1")
    machine.write(f"{base}/cpuacct/box/cpuacct.usage", "5000000000")
    monitor = machine.monitor()
    machine.write(f"{base}/cpuacct/box/cpuacct.usage", "8000000000")
    machine.now = 2.0
    sample = monitor.sample()
    assert (sample.memory_limit, sample.memory_used) == (2 * MIB, MIB)
    assert (sample.cpus, sample.container_cpu) == (0.25, 1.5)


def test_a_group_path_of_the_host_falls_back_to_the_mount_point(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "0::/kubepods/pod7/elsewhere\n")
    second_version(machine, top__cpu_max="20000 100000")
    assert ControlGroup(machine.root).cpu_quota() == 0.2


def test_pressure_of_the_container_goes_before_that_of_the_machine(machine: Machine) -> None:
    machine.write("proc/pressure/cpu", "some total=0\n")
    second_version(machine, inner__cpu_pressure="some total=0")
    monitor = machine.monitor()
    machine.write("proc/pressure/cpu", "some total=2000000\n")
    second_version(machine, inner__cpu_pressure="some total=500000")
    machine.now = 1.0
    assert monitor.sample().cpu_pressure == 0.5


def test_a_machine_that_tells_nothing_still_gives_a_sample(tmp_path: Path) -> None:
    seconds = iter([0.0, 1.0])
    monitor = ResourceMonitor(root=tmp_path, clock=lambda: next(seconds), cpu_clock=lambda: 0.0)
    sample = monitor.sample()
    assert (sample.process_cpu, sample.system_cpu, sample.cpu_pressure) == (0.0, None, None)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_process_memory_agrees_with_the_kernel_within_five_percent() -> None:
    ballast = bytearray(os.urandom(1024) * 32 * 1024)
    sample = ResourceMonitor().sample()
    status = Path("/proc/self/status").read_text()
    resident = int(status.split("VmRSS:")[1].split()[0]) * 1024
    assert sample.process_memory == pytest.approx(resident, rel=0.05)
    assert len(ballast) == 32 * MIB


def times_of_the_machine() -> tuple[int, int]:
    """Ticks that the processors were busy, and all ticks, read without the monitor."""
    words = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    numbers = [int(word) for word in words]
    return sum(numbers) - numbers[3] - numbers[4], sum(numbers)


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="needs Linux's /proc")
def test_processor_use_agrees_with_the_kernel_within_five_percent() -> None:
    import resource

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    monitor, began, cpu = ResourceMonitor(), time.monotonic(), used()
    busy, ticks = times_of_the_machine()
    while used() - cpu < 0.3:
        sum(range(10_000))
    sample = monitor.sample()
    busy_after, ticks_after = times_of_the_machine()
    expected = (used() - cpu) / (time.monotonic() - began)
    assert sample.process_cpu == pytest.approx(expected, rel=0.05)
    share = (busy_after - busy) / (ticks_after - ticks)
    assert sample.system_cpu == pytest.approx(share, abs=0.05)


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="needs Linux's /proc")
def test_memory_in_use_agrees_with_the_kernel_within_five_percent() -> None:
    sample = ResourceMonitor().sample()
    text = Path("/proc/meminfo").read_text()
    total, available = (
        int(text.split(f"{name}:")[1].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable")
    )
    if sample.memory_limit != total:
        pytest.skip("a container's limit is tighter than the machine's memory")
    assert sample.memory_used == pytest.approx(total - available, rel=0.05)
