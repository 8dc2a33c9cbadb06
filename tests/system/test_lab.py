# SPDX-License-Identifier: Apache-2.0
"""The lab itself: comes up, says so, comes up again, and leaves nothing after any accident."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time

import pytest

import appliance
import namespace
from appliance import SERVICES, STATE, ZONE, dig_for, inside, lab, run

HUGEPAGES = pathlib.Path("/sys/kernel/mm/hugepages/hugepages-2048kB")
APPLIANCE = ("millraced", "millrace-datapl")  # as the kernel keeps the names, in 15 characters


def footprint() -> dict:
    """Everything on this machine that the lab may touch."""
    mounts = pathlib.Path("/proc/self/mounts").read_text().splitlines()
    programs = json.loads(run("bpftool", "-j", "prog", "show").stdout or "[]")
    listening = pathlib.Path("/run/netns")
    return {
        "namespaces": sorted(p.name for p in listening.iterdir()) if listening.is_dir() else [],
        "mounts": sorted(
            line.split()[1] for line in mounts if line.split()[2] in ("bpf", "hugetlbfs", "nsfs")
        ),
        "pages": (HUGEPAGES / "nr_hugepages").read_text(),
        "interfaces": sorted(p.name for p in pathlib.Path("/sys/class/net").iterdir()),
        "xdp": json.loads(run("bpftool", "-j", "net", "show").stdout)[0]["xdp"],
        "programs": sorted((p.get("name", ""), p["tag"]) for p in programs if p["type"] == "xdp"),
        "processes": sorted(lab_processes()),
        "files": [
            str(p)
            for p in map(
                pathlib.Path,
                (
                    "/run/millrace",
                    "/run/millrace-lab",
                    "/var/lib/millrace",
                    "/sys/fs/bpf/millrace",
                    "/dev/hugepages/millrace",
                ),
            )
            if p.exists()
        ],
    }


def lab_processes() -> list[str]:
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and appliance.process_start(int(entry.name)) is not None:
            try:
                name = (entry / "comm").read_text().strip()
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if name in APPLIANCE or str(STATE) in command:
                found.append(f"{entry.name} {command}")
    return found


@pytest.fixture
def nothing_left(lab_session):
    """Whatever the test does to the lab: after `down` the machine is as it was."""
    lab("down")
    before = footprint()
    assert not before["files"] and not before["processes"]
    yield
    lab("down", check=False)
    changed = {}

    # The kernel frees a program some moments after the last reference, one of a lab before, too.
    def as_before() -> bool:
        after = footprint()
        changed.clear()
        for what in before:
            if after[what] != before[what]:
                changed[what] = before[what], after[what]
        if not set(after["programs"]) - set(before["programs"]):
            changed.pop("programs", None)
        return not changed

    with contextlib.suppress(AssertionError):
        appliance.wait_until(as_before, namespace.PATIENCE_S, "what was before", interval=0.2)
    assert not changed, "(before, after) differ"


def test_up_is_idempotent_and_status_shows_it(nothing_left):
    assert "down" in lab("status").stdout
    lab("up")
    pids = {name: appliance.recorded_pid(name) for name in ("millraced", "unbound", "nsd")}
    lab("up")
    assert pids == {name: appliance.recorded_pid(name) for name in pids}
    text = lab("status").stdout
    for word in (
        "mr-client",
        "198.18.0.53/24",
        "fd00:18::53/64",
        "millraced",
        "unbound",
        "running",
    ):
        assert word in text
    for address in SERVICES:
        assert "192.0.2.80" in dig_for(f"www.{ZONE}", "+short", address=address)


def test_other_options_restart(nothing_left):
    lab("up")
    first = appliance.recorded_pid("millraced")
    lab("up", "--workers", "2")
    assert appliance.process_start(first) is None
    names = [core["name"] for core in appliance.Stats.read().json["cores"]]
    assert names == ["core 0", "core 1", "slow path"]
    assert "RX:\t\t2" in inside(namespace.DUT, "ethtool", "-l", "mr-c").stdout


def test_up_repairs_what_ended(nothing_left):
    lab("up")
    for name in ("unbound", "nsd", "millraced"):
        pid = appliance.recorded_pid(name)
        os.kill(pid, signal.SIGKILL)
        appliance.wait_gone(pid)
    lab("up")
    assert "192.0.2.80" in dig_for(f"www.{ZONE}", "+short")


def test_exec(nothing_left):
    lab("up", "--no-appliance")
    done = lab("exec", "client", "--", "ip", "-br", "address", "show", "mr-c0")
    assert "198.18.0.1/24" in done.stdout
    assert lab("exec", "upstream", "--", "sh", "-c", "exit 7", check=False).returncode == 7
    assert str(appliance.CLI) in lab("exec", "dut", "--", "sh", "-c", "command -v millrace").stdout
    assert lab("exec", "nowhere", "--", "true", check=False).returncode == 2


def test_down_twice(nothing_left):
    lab("up", "--no-appliance")
    lab("down")
    lab("down")


def kill_everything():
    for program in (appliance.DAEMON, appliance.DATAPLANE):
        for pid in appliance.pids_of(program):
            os.kill(pid, signal.SIGKILL)
    for name in ("unbound", "nsd"):
        os.kill(appliance.recorded_pid(name), signal.SIGKILL)


def kill_daemon():
    os.kill(appliance.recorded_pid("millraced"), signal.SIGKILL)


def delete_namespace():
    run("ip", "netns", "delete", "mr-client")


def delete_wire():
    run("ip", "-n", "mr-dut", "link", "delete", "mr-u")


def forget_completion():
    (STATE / "complete").unlink()


def stop_upstream():
    os.kill(appliance.recorded_pid("unbound"), signal.SIGSTOP)


@pytest.mark.parametrize(
    "accident",
    [kill_everything, kill_daemon, delete_namespace, delete_wire, forget_completion, stop_upstream],
)
def test_down_after_an_accident(nothing_left, accident):
    lab("up")
    accident()


def test_down_after_up_was_killed(nothing_left):
    """At several moments of coming up."""
    for wait in (0.1, 0.3, 0.6, 1.2):
        starting = subprocess.Popen(
            [appliance.ROOT / "tools/lab", "up"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "MILLRACE_BUILD": str(appliance.BUILD)},
        )
        time.sleep(wait)
        starting.kill()
        starting.wait()
        lab("down")


def test_a_command_left_running_is_ended(nothing_left):
    lab("up", "--no-appliance", "--no-upstream")
    left = subprocess.Popen(
        [appliance.ROOT / "tools/lab", "exec", "client", "--", "sleep", "100"],
        env={**os.environ, "MILLRACE_BUILD": str(appliance.BUILD)},
    )
    appliance.wait_until(
        lambda: "sleep" in pathlib.Path(f"/proc/{left.pid}/comm").read_text(),
        namespace.PATIENCE_S,
        "sleep to run",
    )
    lab("down")
    assert left.wait(namespace.PATIENCE_S) != 0


def test_strangers_are_named_and_left_alone(nothing_left):
    lab("up", "--no-appliance", "--no-upstream")
    stranger = appliance.popen_inside(namespace.CLIENT, "sleep", "100")
    try:
        appliance.wait_until(
            lambda: "sleep" in pathlib.Path(f"/proc/{stranger.pid}/comm").read_text(),
            namespace.PATIENCE_S,
            "sleep to run",
        )
        done = lab("down", check=False)
        assert done.returncode == 1 and f"{stranger.pid} sleep 100" in done.stderr
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_recycled_pid_is_not_ended(nothing_left):
    """A record whose pid belongs to another process by now."""
    lab("up", "--no-appliance")
    innocent = subprocess.Popen(["sleep", "100"])
    try:
        (STATE / "pids" / "recycled").write_text(f"{innocent.pid} 1\n")
        lab("down")
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


def test_reservation_of_others_is_kept(nothing_left):
    before = int((HUGEPAGES / "nr_hugepages").read_text())
    lab("up")
    during = int((HUGEPAGES / "nr_hugepages").read_text())
    assert during > before
    (HUGEPAGES / "nr_hugepages").write_text(f"{during + 8}\n")
    try:
        lab("down")
        assert int((HUGEPAGES / "nr_hugepages").read_text()) == before + 8
    finally:
        (HUGEPAGES / "nr_hugepages").write_text(f"{before}\n")


def test_a_broken_config_leaves_the_lab_as_it_is(nothing_left, tmp_path):
    """Also one that is broken only together with the other options."""
    lab("up", "--no-upstream")
    before = appliance.recorded_pid("millraced")
    good = appliance.LAB_CONFIG.read_text()
    broken = tmp_path / "broken.yaml"
    broken.write_text(good + "nonsense: 1\n")
    cores = tmp_path / "cores.yaml"
    cores.write_text(good.replace("workers: 1", "workers: 1\n  cores: [0]"))
    for arguments, code, word in (
        (["--config", broken], 4, "broken.yaml:"),
        (["--config", tmp_path / "missing.yaml"], 1, "missing.yaml"),
        (["--config", cores, "--workers", "2"], 1, "--workers 2"),
    ):
        done = lab("up", "--no-upstream", *arguments, check=False)
        assert done.returncode == code and word in done.stderr, done.stderr
        assert appliance.recorded_pid("millraced") == before


def test_leftovers_of_another_millrace_are_told_from_a_live_one(nothing_left):
    run_dir = pathlib.Path("/run/millrace")
    run_dir.mkdir()
    lock = run_dir / "millraced.lock"
    lock.write_text("4711\n")
    holder = subprocess.Popen(["flock", "--no-fork", lock, "sleep", "100"])
    try:
        appliance.wait_until(
            lambda: run("flock", "-n", lock, "true", check=False).returncode != 0,
            namespace.PATIENCE_S,
            "the lock",
        )
        done = lab("up", "--no-upstream", check=False)
        assert done.returncode == 1 and "4711" in done.stderr, done.stderr
        assert lock.exists()
    finally:
        holder.kill()
        holder.wait()
    lab("up", "--no-upstream")


def test_unknown_words_are_usage_errors():
    for arguments in (
        ["frob"],
        ["up", "--frob"],
        ["up", "--workers"],
        ["up", "--workers", "0"],
        ["up", "--config"],
        ["down", "now"],
        [],
    ):
        done = lab(*arguments, check=False)
        assert done.returncode == 2 and "line " not in done.stderr, done.stderr
