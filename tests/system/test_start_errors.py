# SPDX-License-Identifier: Apache-2.0
"""millraced started where it cannot run: one line that says what, where and what to do."""

import pathlib

import pytest

import appliance
import namespace
from appliance import DAEMON, inside

LAB = ["--no-appliance", "--no-upstream"]
HUGEPAGES = pathlib.Path("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")


def start(config: pathlib.Path, run_dir: pathlib.Path, *, timeout: float = 30):
    return inside(
        namespace.DUT,
        DAEMON,
        "--config",
        config,
        "--run-dir",
        run_dir,
        "--state-dir",
        run_dir / "state",
        check=False,
        timeout=timeout,
    )


def expect_one_line(done, code: int, *words: str) -> None:
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert done.returncode == code, done.stderr
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0], lines[0]


@pytest.fixture
def config(lab, tmp_path):
    path = tmp_path / "millrace.yaml"
    path.write_text(appliance.LAB_CONFIG.read_text())
    return path


def test_missing_interface(config, tmp_path):
    config.write_text(config.read_text().replace("interface: mr-u", "interface: mr-nix"))
    expect_one_line(start(config, tmp_path / "run"), 1, "mr-nix")
    assert not (tmp_path / "run").exists(), "it has made it, and removes it"


def test_bad_config(config, tmp_path):
    config.write_text(config.read_text().replace("workers: 1", "workers: lots"))
    expect_one_line(start(config, tmp_path / "run"), 4, "millrace.yaml:", "workers")


def test_missing_config(lab, tmp_path):
    expect_one_line(start(tmp_path / "nowhere.yaml", tmp_path / "run"), 1, "nowhere.yaml")


def test_too_few_hugepages(config, tmp_path):
    config.write_text(config.read_text().replace("size: 64MiB", "size: 900GiB"))
    expect_one_line(start(config, tmp_path / "run"), 1, "hugepages")


def test_run_dir_is_taken(config, lab_session):
    """A second millraced beside a running one."""
    appliance.lab("up")
    try:
        done = inside(namespace.DUT, DAEMON, "--config", config, check=False, timeout=30)
        expect_one_line(done, 1, "/run/millrace", str(appliance.recorded_pid("millraced")))
        appliance.wait_ready()
    finally:
        appliance.lab("up", *LAB)


def test_unknown_option(lab):
    assert inside(namespace.DUT, DAEMON, "--frob", check=False).returncode == 2
