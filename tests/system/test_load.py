# SPDX-License-Identifier: Apache-2.0
"""30 000 queries a second: none is lost, and all are accounted for, with one worker and with two.

MILLRACE_FULL=1 runs for 20 seconds instead of 8.
"""

import os

import pytest

import appliance

SECONDS = 20 if os.environ.get("MILLRACE_FULL") else 8
QPS = 30_000
NAMES = 4000  # in the load, A and AAAA counted apart


@pytest.mark.parametrize("address", appliance.SERVICES)
@pytest.mark.parametrize("workers", [1, 2])
def test_no_query_is_lost(lab_session, workers, address):
    appliance.lab("up", "--workers", workers)
    before = appliance.settled_stats()
    result = appliance.Load(QPS, SECONDS, address).finish()
    after = appliance.settled_stats()
    changed = after.since(before)
    assert result.lost == 0, result.text
    assert changed.get("hit", 0) + changed.get("miss", 0) == result.sent, changed
    asked = changed.get("up_sent", 0) + changed.get("probe_sent", 0)
    assert changed["tx_packets"] == result.sent + asked
    assert changed.get("cache_insert", 0) <= NAMES, "a name was fetched more than once"
    assert changed.get("hit", 0) > 0.8 * result.sent
    after.check_identities()
    busy = [core["rx"] for core in after.json["cores"] if core["name"] != "slow path"]
    assert len(busy) == workers and all(busy), f"a worker got no packet: {busy}"
