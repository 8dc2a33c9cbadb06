# SPDX-License-Identifier: Apache-2.0
"""Clients and resolvers behind one and the same interface."""

import time

import pytest

import appliance
from appliance import SERVICES, ask, settled_stats
from played_resolver import PlayedResolver, ADDRESS, answer_to
import namespace

LAB = ["--workers", "2", "--no-upstream"]
# The resolver lives beside the client, in its namespace.
RESOLVER = "198.18.0.2"
CONFIG = f"""\
ports:
  - name: only
    interface: mr-c
binds:
  - name: v4
    listen_address: 198.18.0.53:53
  - name: v6
    listen_address: "[fd00:18::53]:53"
backends:
  - name: beside
    address: {RESOLVER}:53
dataplane:
  workers: 2
upstream:
  probe_interval: 1s
"""


@pytest.fixture
def resolver(service):
    appliance.inside(namespace.CLIENT, "ip", "address", "replace", f"{RESOLVER}/24", "dev", "mr-c0")
    with PlayedResolver(
        lambda asked: answer_to(asked).to_wire(), ((RESOLVER, 53),), namespace.CLIENT
    ) as played:
        yield played


@pytest.mark.parametrize("address", SERVICES)
def test_miss_then_hit(resolver, address):
    name = f"one-armed-{SERVICES.index(address)}.played.example"
    # Ten names belong to both workers.
    appliance.wait_until(
        lambda: all(
            ask(f"ready-{time.time_ns()}.played.example").rcode == "NOERROR" for _ in range(10)
        ),
        60,
        "the resolver",
    )
    before = settled_stats()
    for _ in range(2):
        answer = ask(name, address=address, tries=3)
        assert [item.to_text() for rrset in answer.message.answer for item in rrset] == [ADDRESS]
    changed = settled_stats().since(before)
    assert changed.get("miss") == 1 and changed.get("hit") == 1
