"""`/metrics`: every family is there from the start, and its figures are those of the ledger and of what was done."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from daemon.ledger.days import Day
from daemon.markers import Reading, Standing
from daemon.model import Found
from daemon.tally import BOUNDS, MOST_RULES, OTHER_RULES, Tally, Timing
from daemon.watching.exposition import MOST_SCOPES, Exposition
from daemon.watching.standing import GOOD_SECONDS, REST, Kept, Standings
from tests.unit.daemon.conftest import Clock, Rig, dirty, good, killed

Samples = dict[tuple[str, ...], float]


def exposition(rig: Rig) -> Exposition:
    return Exposition(rig.parts.tally, Standings(rig.ledger, rig.store, ("metrics",)), rig.workers, rig.clock)


def samples(rig: Rig) -> dict[str, Samples]:
    """Return what the page says: a sample's name -> the values of its labels, sorted by their names -> its value."""
    kind, page = exposition(rig).page("")
    assert kind.startswith("text/plain")
    found: dict[str, Samples] = {}
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels[name] for name in sorted(sample.labels))] = (
                sample.value
            )
    return found


def mark(rig: Rig, customer: str, instant: int) -> None:
    """Have a marker applied."""
    found = Found(uri=f"mem:///{customer}/_READY", name=f"{customer}/_READY", version="1", size=1, modified=1.0)
    reading = Reading(standing=Standing.WAITING, instant=instant)
    rig.ledger.markers.add(found, {("metrics", customer): reading}, {}, rig.clock())
    (marker,) = rig.ledger.markers.waiting()
    rig.ledger.markers.judge(marker, rig.clock())


def test_what_has_not_happened_yet_is_zero_so_that_its_first_time_shows(rig: Rig) -> None:
    page = samples(rig)
    assert page["blobdrop_drops_total"] == {
        ("metrics", state): 0 for state in ("ingested", "partial", "rejected", "duplicate", "failed")
    }
    for name in ("rows_accepted", "rows_rejected", "bytes", "batch_commits", "retries"):
        assert page[f"blobdrop_{name}_total"] == {("metrics",): 0}
    assert page["blobdrop_worker_kills_total"] == {("timeout",): 0, ("SIGKILL",): 0}
    assert page["blobdrop_queue_drops"] == page["blobdrop_queue_age_seconds"] == {(): 0}
    assert page["blobdrop_process_open_fds"][()] > 0


def test_drops_rows_rules_bytes_and_stages_are_counted(rig: Rig) -> None:
    first, second = rig.take_in(a=good(3), b=dirty())
    rig.take_in(c=good(3))
    page = samples(rig)
    ended = {labels[1]: count for labels, count in page["blobdrop_drops_total"].items() if count}
    assert ended == {"ingested": 1, "partial": 1, "duplicate": 1}
    assert page["blobdrop_known_drops"] == {("metrics", state): 1 for state in ended}
    assert page["blobdrop_rows_accepted_total"] == {("metrics",): 3 + 9}
    assert page["blobdrop_rows_rejected_total"] == {("metrics",): 1}
    assert page["blobdrop_rejects_total"] == {("metrics", "type"): 1}
    assert page["blobdrop_bytes_total"][("metrics",)] == 2 * first.found.size + second.found.size
    assert page["blobdrop_batch_commits_total"] == {("metrics",): 1}
    stages = {labels[0]: count for labels, count in page["blobdrop_stage_seconds_count"].items()}
    assert stages["work"] == 3
    assert stages["commit"] == stages["settle"] == 2


def test_a_lost_worker_and_another_go_are_counted(rig: Rig) -> None:
    rig.workers.hold = True
    rig.ingest.claim(rig.put(a=good(2)))
    rig.ingest.pump()
    rig.workers.lose(killed())
    rig.ingest.collect()
    page = samples(rig)
    assert page["blobdrop_worker_kills_total"][("SIGKILL",)] == 1
    assert page["blobdrop_retries_total"] == {("metrics",): 1}


def test_the_queue_is_as_old_as_the_oldest_drop_under_way(rig: Rig) -> None:
    rig.workers.hold = True
    rig.ingest.claim(rig.put(a=good(2)))
    rig.clock.now += 40
    rig.ingest.claim(rig.put(b=good(3, "b")))
    page = samples(rig)
    assert page["blobdrop_queue_drops"] == {(): 2}
    assert page["blobdrop_queue_age_seconds"] == {(): 40}


def test_each_scope_has_the_lag_of_its_watermark_and_each_feed_its_open_days(rig: Rig) -> None:
    rig.take_in(a=good(2))
    assert samples(rig)["blobdrop_days_open"] == {("metrics", "open"): 1}
    mark(rig, "default", int(rig.clock()) - 60)
    rig.ledger.days.open(("metrics", "default"), ["2026-03-01"], rig.clock(), rig.clock())
    (row,) = rig.ledger.days.unclosed()
    rig.ledger.days.hold(row, "too few rows", None)
    page = samples(rig)
    assert page["blobdrop_watermark_lag_seconds"] == {("default", "metrics"): 60}
    assert page["blobdrop_days_open"] == {("metrics", Day.HELD.value): 1, ("metrics", "open"): 0}


def test_customers_that_somebody_makes_up_do_not_fill_the_page(rig: Rig) -> None:
    for number in range(MOST_SCOPES + 5):
        mark(rig, f"c{number}\n", int(rig.clock()) - number)
    page = samples(rig)
    lags = page["blobdrop_watermark_lag_seconds"]
    assert len(lags) == MOST_SCOPES
    assert min(lags.values()) == 5
    assert page["blobdrop_watermarks"] == {(): MOST_SCOPES + 5}


def test_rules_without_end_are_counted_together() -> None:
    tally = Tally()
    for number in range(MOST_RULES + 7):
        tally._broken("metrics", f"rule {number}", 1)
    assert len(tally.rejects) == MOST_RULES + 1
    assert tally.rejects["metrics", OTHER_RULES] == 7


def test_a_ledger_that_does_not_answer_leaves_its_families_out_and_the_others_in(rig: Rig) -> None:
    rig.take_in(a=good(2))
    rig.path.rename(rig.path.with_suffix(".away"))
    rig.ledger.close()
    page = samples(rig)
    assert page["blobdrop_rows_accepted_total"] == {("metrics",): 2}
    assert "blobdrop_queue_drops" not in page


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(0.0, 0), (0.005, 0), (0.006, 1), (900.0, len(BOUNDS) - 1), (1e9, len(BOUNDS))]
)
def test_a_stage_is_counted_by_how_long_it_took(seconds: float, bucket: int) -> None:
    timing = Timing()
    timing.took(seconds)
    assert timing.counts.index(1) == bucket
    assert timing.last is not None


def test_a_stage_that_fails_is_not_counted() -> None:
    tally = Tally()
    with pytest.raises(KeyError), tally.timing("list"):
        raise KeyError
    assert tally.answered("list") is None


def test_a_figure_that_takes_long_is_got_less_often() -> None:
    clock, got = Clock(), []

    def get() -> int:
        clock.now += 2
        got.append(clock.now)
        return len(got)

    kept = Kept(get, clock)
    assert [kept(), kept()] == [1, 1]
    clock.now += 2 * REST - 1
    assert kept() == 1
    clock.now += 1
    assert kept() == 2
    quick = Kept(lambda: clock.now, clock)
    before = quick()
    clock.now += GOOD_SECONDS
    assert quick() > before
