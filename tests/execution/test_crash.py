"""kill -9: nothing is sent twice, nothing is lost, what cannot be known is said. A longer campaign: benchmarks/."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from .crash import Report, boundary_campaign, random_campaign
from .post_office import post_office

AT_ONCE = 4


def boundaries(n, when):
    with post_office() as office:
        return boundary_campaign(office, first=n, last=n, whens=(when,))


def test_every_commit_of_the_journal():
    """Planned, approved, and for each of two recipients sending and sent: before and after each commit."""
    total = Report()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        places = [(n, when) for n in range(1, 7) for when in ("before", "after")]
        for report in pool.map(lambda place: boundaries(*place), places):
            total.add(report)
    assert total.problems == [] and total.kills == 12
    # Killed between "sending" and "sent", an effect is unknown: after the one and before the other, for both people.
    assert total.unknown == 4 and total.sent == 20


@pytest.mark.parametrize("channel", ["smtp", "outbox"])
def test_random_moments(channel):
    def campaign(seed):
        generator = random.Random(seed)
        if channel == "outbox":
            return random_campaign(None, 5, 3, generator)
        with post_office() as office:
            office.pause_s = 0.05
            return random_campaign(office, 5, 3, generator)

    total = Report()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for report in pool.map(campaign, range(AT_ONCE)):
            total.add(report)
    assert total.problems == [] and total.kills >= 20
