# SPDX-License-Identifier: Apache-2.0
"""`millrace config check` points at what is wrong: exit code 4, file, line and column.

Needs neither a daemon nor a lab. In each text the first character of what is wrong is marked with
`@@`, which is taken out before the check.
"""

import re

import pytest

from appliance import ROOT, cli

GOOD = """\
ports:
  - name: clients
    interface: mr-c
binds:
  - name: v4
    listen_address: 198.18.0.53:53
backends:
  - name: resolver
    address: 198.18.1.1:53
"""

# (text, a word that the message must have)
BROKEN = {
    "unknown key": (GOOD.replace("    interface: mr-c", "    @@interfaces: mr-c"), "interface"),
    "unknown section": (GOOD + "@@upstreams:\n  tries: 2\n", "upstream"),
    "key given twice": (
        GOOD + "edns:\n  udp_payload_size: 1232\n  @@udp_payload_size: 1400\n",
        "twice",
    ),
    "duration without a unit": (GOOD + "upstream:\n  give_up: @@5000\n", "5000"),
    "out of range": (GOOD + "dataplane:\n  workers: @@99\n", "16"),
    "not a number": (GOOD + "upstream:\n  tries: @@many\n", "many"),
    "bad address": (GOOD.replace("198.18.1.1:53", "@@198.18.1.256:53"), "address"),
    "reference to nothing": (
        GOOD.replace(
            "listen_address: 198.18.0.53:53", "listen_address: 198.18.0.53:53\n    pool: @@nowhere"
        ),
        "nowhere",
    ),
    "a list where a word belongs": (
        GOOD.replace("interface: mr-c", "interface: @@[mr-c]"),
        "interface",
    ),
    "size without meaning": (
        GOOD + "packet_caches:\n  - name: default\n    size: @@64 bananas\n",
        "bananas",
    ),
    "an alias": (GOOD.replace("address: 198.18.1.1:53", "address: @@*somewhere"), "anchor"),
    "two objects of one name": (
        GOOD + "  - name: @@resolver\n    address: 198.18.1.2:53\n",
        "resolver",
    ),
}


def place_of(marked: str) -> tuple[int, int]:
    before = marked[: marked.index("@@")]
    return before.count("\n") + 1, len(before) - before.rfind("\n")


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_file_is_rejected_with_its_place(tmp_path, kind):
    marked, word = BROKEN[kind]
    path = tmp_path / "broken.yaml"
    path.write_text(marked.replace("@@", ""))
    done = cli("config", "check", path, check=False)
    text = done.stdout + done.stderr
    assert done.returncode == 4, text
    places = [tuple(map(int, found)) for found in re.findall(r"broken\.yaml:(\d+):(\d+): ", text)]
    assert place_of(marked) in places, text
    assert word in text


def test_every_error_is_reported_at_once(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text(GOOD + "upstream:\n  tries: 0\ndataplane:\n  workers: 99\n")
    done = cli("config", "check", path, check=False)
    assert done.returncode == 4
    assert ":11:10: " in done.stdout + done.stderr and ":13:12: " in done.stdout + done.stderr


def test_good_files_pass(tmp_path):
    path = tmp_path / "good.yaml"
    path.write_text(GOOD)
    for good in [path, *sorted((ROOT / "configs").glob("*.yaml"))]:
        done = cli("config", "check", good, check=False)
        assert done.returncode == 0, f"{good}: {done.stdout}{done.stderr}"


def test_a_file_that_is_not_there(tmp_path):
    done = cli("config", "check", tmp_path / "missing.yaml", check=False)
    assert done.returncode == 1 and "missing.yaml" in done.stderr


def test_usage_error_is_2():
    assert cli("config", "chek", check=False).returncode == 2
