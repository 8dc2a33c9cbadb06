# SPDX-License-Identifier: Apache-2.0
"""One lab for the whole suite; a world of its own for each test."""

import pathlib
import sys

import pytest

import appliance
from played_resolver import PlayedResolver

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))

import world as worlds  # noqa: E402


@pytest.fixture(scope="package")
def running(lab_session):
    appliance.lab(
        "up",
        "--no-upstream",
        "--testing",
        "--workers",
        "2",
        "--config",
        str(HERE / "conformance.yaml"),
    )
    appliance.wait_ready()


@pytest.fixture(scope="package")
def resolver(running):
    """Fails the last test if the statistics do not add up after all of them."""
    places = (worlds.ONLY, *worlds.PAIR, worlds.SIX, worlds.SUBNET)
    with PlayedResolver(places=places, tcp=True) as played:
        yield played
    appliance.advance(6)
    appliance.settled_stats().check_identities()


@pytest.fixture
def world(resolver):
    made = worlds.World(resolver)
    yield made
    resolver.check()
    if made.kept_waiting:
        # Their questions end, what they made is read, and whoever was counted out comes back.
        made.scripts.clear()
        appliance.advance(6)
        resolver.drain()
        resolver.automatic = made.answer
        appliance.wait_until(made.is_served, 20, "the resolver to be back", interval=0)
        appliance.advance(0.2)  # what one core has heard, the others know after 100 ms
    while not resolver.asked.empty():
        resolver.asked.get_nowait()
