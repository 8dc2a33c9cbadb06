# SPDX-License-Identifier: Apache-2.0
"""Access rules hold from one apply to the next, whatever is cached."""

import time

import pytest

import appliance
from appliance import CLIENT4, CLIENT6, SERVICE4, SERVICE6, ask, cli, exchange, query_bytes
from appliance import settled_stats

NAME = f"www.{appliance.ZONE}"
EDE_PROHIBITED = 18
# Whole networks and single addresses: the flows get longer prefixes with the latter.
SOURCES = {SERVICE4: ("198.18.0.0/24", f"{CLIENT4}/32"), SERVICE6: ("fd00:18::/48", CLIENT6)}


@pytest.fixture
def rules(service, lab, tmp_path):
    """Applies the lab's config with these access rules; without any in the end."""

    def apply(text: str) -> None:
        path = tmp_path / "access.yaml"
        path.write_text(lab.read_text() + f"\naccess: [{text}]\n")
        cli("config", "apply", path)

    yield apply
    cli("config", "apply", lab)


@pytest.mark.parametrize("wide", (True, False), ids=("network", "address"))
@pytest.mark.parametrize("address", (SERVICE4, SERVICE6))
def test_refused_then_dropped_then_served(rules, address, wide):
    source = SOURCES[address][0 if wide else 1]
    records = ask(NAME, address=address, tries=3).records
    assert records

    rules(f'{{name: x, sources: ["{source}"], action: refuse}}')
    before = settled_stats()
    refused = ask(NAME, address=address)
    assert refused.rcode == "REFUSED" and not refused.records
    assert [option.code for option in refused.message.options] == [EDE_PROHIBITED]
    assert settled_stats().since(before).get("refused_acl") == 1

    rules(f'{{name: x, sources: ["{source}"], action: drop}}')
    before = settled_stats()
    assert exchange(query_bytes(NAME), address=address, timeout=1) is None
    assert settled_stats().since(before).get("drop_acl") == 1

    rules(
        f'{{name: x, sources: ["{source}"], action: allow}},'
        '{name: y, sources: ["0.0.0.0/0", "::/0"], action: drop}'
    )
    before = settled_stats()
    for _ in range(3):
        assert ask(NAME, address=address).records == records
        time.sleep(0.01)
    changed = settled_stats().since(before)
    assert changed.get("hit") == 3 and changed.get("flow_hit", 0) >= 1
    assert "drop_acl" not in changed and "refused_acl" not in changed


def test_a_rule_of_another_bind_is_not_ours(rules):
    rules('{name: x, sources: ["0.0.0.0/0", "::/0"], binds: [dns6], action: drop}')
    assert ask(NAME, address=SERVICE4, tries=3).records
    assert exchange(query_bytes(NAME), address=SERVICE6, timeout=1) is None
