# SPDX-License-Identifier: Apache-2.0
"""With `hugepages: false`: slower, but it serves."""

import pytest

import appliance
from appliance import SERVICES, ask, settled_stats

CONFIG = appliance.LAB_CONFIG.read_text() + "  hugepages: false\n"


@pytest.mark.parametrize("address", SERVICES)
def test_miss_then_hit(service, address):
    before = settled_stats()
    name = f"n{1000 + SERVICES.index(address)}.{appliance.ZONE}"
    first, second = ask(name, address=address, tries=3), ask(name, address=address)
    assert first.records == second.records and first.records
    changed = settled_stats().since(before)
    assert changed.get("miss") == 1 and changed.get("hit") == 1
