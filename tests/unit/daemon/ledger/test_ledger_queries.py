"""Reads: what the ledger answers the pipeline, and what it answers people."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from daemon.errors import NotFoundError
from daemon.ledger import queries
from daemon.model import Rows, State

if TYPE_CHECKING:
    from tests.unit.daemon.ledger.conftest import World

SHA = "ab" * 32


class TestKnownVersions:
    def test_known_pairs_are_told_with_their_states(self, world: World) -> None:
        done, (working,) = world.ingest("a.csv"), world.claim("b.csv")
        pairs = [(done.found.uri, "1"), (done.found.uri, "2"), (working.found.uri, "1"), ("file:///new", "1")]

        assert world.ledger.known_versions(pairs) == {pairs[0]: State.INGESTED, pairs[2]: State.WORKING}

    def test_the_answer_is_the_same_for_few_of_many_and_for_all(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(queries, "CHUNK", 7)
        drops = world.claim(*(f"{number}.csv" for number in range(40)))
        pairs = [(drop.found.uri, drop.found.version) for drop in drops]

        for asked in (pairs[:3], pairs[:19], pairs, [*pairs, ("file:///x", "1")]):
            known = world.ledger.known_versions(asked)
            assert set(known) == set(asked) - {("file:///x", "1")}

    def test_nothing_asked_is_nothing_known(self, world: World) -> None:
        assert world.ledger.known_versions([]) == {}

    def test_ten_thousand_pairs_are_looked_up_at_once(self, world: World) -> None:
        drops = world.ledger.claim([world.drop(f"{number:05}.csv") for number in range(10_000)], world.now())
        pairs = {(drop.found.uri, drop.found.version) for drop in drops}
        begun = time.perf_counter()
        known = world.ledger.known_versions(pairs)
        print(f"10,000 known versions: {time.perf_counter() - begun:.3f} s")  # noqa: T201 - a figure for whoever runs it with -s

        assert len(known) == 10_000


class TestWhatIsToBeDone:
    def test_drops_that_may_begin_first_wait_in_front(self, world: World) -> None:
        late, soon = world.claim("late.csv", "soon.csv")
        world.ledger.give_back([late.id], world.now(), not_before=world.clock + 60)
        world.ledger.give_back([soon.id], world.now())

        assert [waiting.drop.id for waiting in world.ledger.waiting()] == [soon.id, late.id]
        assert [waiting.drop.id for waiting in world.ledger.waiting(limit=1)] == [soon.id]

    def test_final_drops_are_unsettled_but_for_failed_and_unmatched_ones(self, world: World) -> None:
        expected = [
            (world.ingest("a.csv").id, State.INGESTED),
            (world.ingest("b.csv", state=State.PARTIAL).id, State.PARTIAL),
            (world.finish("c.csv", state=State.REJECTED).id, State.REJECTED),
            (world.finish("d.csv", state=State.DUPLICATE).id, State.DUPLICATE),
        ]
        world.finish("e.csv", state=State.FAILED)
        world.ledger.unmatched([world.drop("f.csv").found], world.now())
        world.claim("g.csv")

        assert [(drop.id, state) for drop, state in world.ledger.unsettled()] == expected

    def test_an_object_that_cannot_be_settled_does_not_keep_the_others_waiting(self, world: World) -> None:
        stuck, other = world.ingest("stuck.csv"), world.ingest("other.csv")
        world.ledger.settle_failed(stuck.id, "busy", world.now())

        assert [drop.id for drop, _ in world.ledger.unsettled(limit=1)] == [other.id]
        assert [drop.found for drop, _ in world.ledger.unsettled()] == [other.found, stuck.found]


class TestDuplicates:
    @pytest.mark.parametrize("state", [State.INGESTED, State.PARTIAL, State.REJECTED])
    def test_the_same_bytes_in_the_scope_are_known_by_their_first_drop(self, world: World, state: State) -> None:
        first = world.ingest("a.csv", state=state, sha256=SHA)
        world.ingest("b.csv", state=state, sha256=SHA)

        assert world.ledger.duplicate_of("acme", "metrics", [SHA, "cd" * 32]) == {SHA: first.id}
        assert world.ledger.digests("acme", "metrics", {100}) == {SHA}

    @pytest.mark.parametrize("state", [State.FAILED, State.DUPLICATE])
    def test_bytes_that_were_never_judged_are_not_known(self, world: World, state: State) -> None:
        world.finish("a.csv", state=state, sha256=SHA)

        assert world.ledger.duplicate_of("acme", "metrics", [SHA]) == {}
        assert world.ledger.digests("acme", "metrics", {100}) == frozenset()

    def test_another_customer_or_feed_is_another_scope(self, world: World) -> None:
        world.ingest("a.csv", sha256=SHA)

        assert world.ledger.duplicate_of("other", "metrics", [SHA]) == {}
        assert world.ledger.duplicate_of("acme", "events", [SHA]) == {}
        assert world.ledger.digests("other", "metrics", {100}) == frozenset()

    def test_going_back_to_bytes_that_were_replaced_is_no_duplicate(self, world: World) -> None:
        old = world.ingest("a.csv", "1", sha256=SHA)
        world.ingest("a.csv", "2", replaces=(old.id,))

        assert world.ledger.duplicate_of("acme", "metrics", [SHA]) == {}
        assert SHA not in world.ledger.digests("acme", "metrics", {100})

    def test_rejected_bytes_are_judged_again_by_another_contract(self, world: World) -> None:
        drop = world.finish("a.csv", state=State.REJECTED, sha256=SHA, contract="metrics@1")

        assert world.ledger.duplicate_of("acme", "metrics", [SHA], contract="metrics@1") == {SHA: drop.id}
        assert world.ledger.duplicate_of("acme", "metrics", [SHA], contract="metrics@2") == {}
        assert world.ledger.digests("acme", "metrics", {100}, contract="metrics@2") == frozenset()

    def test_ingested_bytes_are_a_duplicate_under_any_contract(self, world: World) -> None:
        drop = world.ingest("a.csv", sha256=SHA)

        assert world.ledger.duplicate_of("acme", "metrics", [SHA], contract="metrics@2") == {SHA: drop.id}

    def test_an_unknown_digest_matches_nothing(self, world: World) -> None:
        world.finish("a.csv", state=State.REJECTED, sha256="")

        assert world.ledger.duplicate_of("acme", "metrics", [""]) == {}
        assert world.ledger.digests("acme", "metrics", {100}) == frozenset()

    def test_digests_are_those_of_the_asked_sizes(self, world: World) -> None:
        world.ingest("a.csv", sha256=SHA)

        assert world.ledger.digests("acme", "metrics", {99}) == frozenset()
        assert world.ledger.digests("acme", "metrics", set()) == frozenset()

    def test_too_many_digests_are_not_sent_at_all(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(queries, "MOST_DIGESTS", 2)
        for name in "ab":
            world.ingest(name)
        assert len(world.ledger.digests("acme", "metrics", {100})) == 2

        world.ingest("c")

        assert world.ledger.digests("acme", "metrics", {100}) == frozenset()


class TestRevisions:
    def test_earlier_versions_in_the_table_are_named(self, world: World) -> None:
        first = world.ingest("a.csv", "1")
        second = world.ingest("a.csv", "2", state=State.PARTIAL)
        third, new = world.claim("a.csv", "b.csv", version="3")

        assert world.ledger.earlier([third, new]) == {third.id: (first.id, second.id)}

    def test_versions_outside_the_table_are_not(self, world: World) -> None:
        old = world.ingest("a.csv", "1")
        world.ingest("a.csv", "2", replaces=(old.id,), state=State.REJECTED)
        world.finish("a.csv", "3", state=State.FAILED)
        (new,) = world.claim("a.csv", version="4")

        assert world.ledger.earlier([new]) == {}

    def test_rows_in_another_table_or_of_another_customer_are_not(self, world: World) -> None:
        world.ingest("a.csv", "1", feed="events")
        world.ingest("a.csv", "2", customer="other")
        (new,) = world.claim("a.csv", version="3")

        assert world.ledger.earlier([new]) == {}

    def test_a_drop_is_not_earlier_than_itself(self, world: World) -> None:
        drop = world.ingest("a.csv")

        assert world.ledger.earlier([drop]) == {}


class TestListing:
    def test_the_newest_drops_come_first(self, world: World) -> None:
        for name in ("a.csv", "b.csv", "c.csv"):
            world.ingest(name)

        assert [row.name for row in world.ledger.drops(limit=2)] == ["c.csv", "b.csv"]

    def test_drops_are_chosen_by_state_feed_customer_and_part_of_the_name(self, world: World) -> None:
        world.ingest("acme/March_1.csv")
        world.finish("acme/april.csv")
        world.ingest("other/march%.csv", customer="other", feed="events")

        def names(*state: State, **what: str) -> list[str]:
            return [row.name for row in world.ledger.drops(*state, **what)]  # type: ignore[arg-type]

        assert names(State.FAILED) == ["acme/april.csv"]
        assert names(feed="events") == names(customer="other") == names(name="%") == ["other/march%.csv"]
        assert names(name="march") == ["other/march%.csv", "acme/March_1.csv"]
        assert names(State.FAILED, name="march") == []

    def test_the_versions_of_a_name_are_its_history(self, world: World) -> None:
        for version in "123":
            world.ingest("a.csv", version)

        assert [row.version for row in world.ledger.history("a.csv")] == ["1", "2", "3"]
        assert world.ledger.history("b.csv") == ()

    def test_what_happened_is_told_in_order(self, world: World) -> None:
        drop = world.finish("a.csv")
        world.ledger.retry(None, world.now())

        times = [event.at for event in world.ledger.events(drop.id)]

        assert times == sorted(times)
        assert world.ledger.last_activity() == times[-1] == world.clock
        assert world.ledger.events("0" * 16) == ()


class TestOneDrop:
    def test_a_drop_is_found_by_id_by_its_beginning_by_name_and_by_the_last_part_of_its_name(
        self, world: World
    ) -> None:
        drop = world.ingest("acme/metrics/a.csv")
        world.ingest("b.csv")

        for key in (drop.id, drop.id[:6], drop.id.upper(), "acme/metrics/a.csv", "a.csv", "metrics/a.csv"):
            assert world.ledger.drop(key).id == drop.id

    def test_a_name_means_its_newest_version(self, world: World) -> None:
        world.ingest("x/a.csv", "1")
        newest = world.ingest("x/a.csv", "2")

        assert world.ledger.drop("x/a.csv").id == world.ledger.drop("a.csv").id == newest.id

    def test_a_key_that_fits_several_drops_names_them(self, world: World) -> None:
        a, b = world.ingest("x/a.csv"), world.ingest("y/a.csv")

        with pytest.raises(NotFoundError, match="fits 2 drops") as caught:
            world.ledger.drop("a.csv")

        assert f"{a.id} (x/a.csv)" in str(caught.value)
        assert f"{b.id} (y/a.csv)" in str(caught.value)

    def test_the_beginning_of_several_ids_names_them(self, world: World) -> None:
        drops = world.claim(*(f"{number}.csv" for number in range(17)))
        firsts = [drop.id[0] for drop in drops]
        shared = next(first for first in firsts if firsts.count(first) > 1)

        with pytest.raises(NotFoundError, match=f"'{shared}' fits {firsts.count(shared)} drops"):
            world.ledger.drop(shared)

    def test_a_key_that_fits_nothing_gets_near_names(self, world: World) -> None:
        world.ingest("acme/metrics/march.csv")

        with pytest.raises(NotFoundError, match=r"'marhc\.csv': did you mean acme/metrics/march\.csv\?"):
            world.ledger.drop("marhc.csv")

    @pytest.mark.parametrize("key", ["nothing/like/it", "", "%", "_", "\udcff"])
    def test_a_key_like_nothing_says_where_to_look(self, world: World, key: str) -> None:
        world.ingest("acme/metrics/march.csv")

        with pytest.raises(NotFoundError, match="blobdrop drops"):
            world.ledger.drop(key)


class TestFigures:
    def test_drops_are_counted_by_feed_and_state(self, world: World) -> None:
        world.ingest("a.csv")
        world.ingest("b.csv")
        world.finish("c.csv")
        world.ledger.unmatched([world.drop("d.csv").found], world.now())

        assert world.ledger.counts() == {
            "metrics": {State.INGESTED: 2, State.FAILED: 1},
            "": {State.UNMATCHED: 1},
        }

    def test_totals_are_what_the_table_and_the_quarantine_hold(self, world: World) -> None:
        old = world.ingest("a.csv", "1")
        world.ingest("a.csv", "2", state=State.PARTIAL, replaces=(old.id,))
        world.ingest("b.csv", feed="events")

        assert world.ledger.totals() == {
            "metrics": Rows(read=10, accepted=9, rejected=1),
            "events": Rows(read=10, accepted=10, rejected=0),
        }

    def test_feeds_are_summed_up(self, world: World) -> None:
        world.ingest("a.csv")
        world.ingest("b.csv", customer="other")
        newest = world.clock - 2
        world.ledger.unmatched([world.drop("c.csv").found], world.now())

        (summary,) = world.ledger.feeds()

        assert (summary.feed, summary.customers, summary.drops) == ("metrics", 2, {State.INGESTED: 2})
        assert (summary.rows.accepted, summary.last_found_at) == (20, newest)

    def test_an_empty_ledger_has_no_figures(self, world: World) -> None:
        assert (world.ledger.counts(), world.ledger.totals(), world.ledger.feeds()) == ({}, {}, ())
        assert world.ledger.open_batches() == ()


def test_the_pipelines_reads_use_the_index_that_narrows_most(world: World) -> None:
    # Given a ledger in which nearly everything is ingested, as after a year
    drop = world.ingest("a.csv")
    plans: list[str] = []

    def explain(connection: Any, _: object, statement: str, parameters: tuple[Any, ...], *__: object) -> None:
        if statement.startswith("SELECT") and "count(*)" not in statement:
            driver = connection.connection.driver_connection
            plans.extend(row[3] for row in driver.execute("EXPLAIN QUERY PLAN " + statement, parameters))

    sa.event.listen(world.ledger._database._engine, "before_cursor_execute", explain)

    # When the pipeline asks about many drops at once
    many = [world.drop(f"{number}.csv") for number in range(500)]
    world.ledger.earlier([drop, *many])
    world.ledger.duplicate_of("acme", "metrics", [f"{number:064}" for number in range(500)])
    world.ledger.digests("acme", "metrics", range(500))
    world.ledger.unsettled()

    # Then it goes neither through all drops, nor through all of a state or a scope
    searches = [plan for plan in plans if "drops" in plan]
    assert [plan.partition("INDEX ")[2] for plan in searches] == [
        "drops_by_uri (uri=?)",
        "drops_by_digest (feed=? AND customer=? AND sha256=?)",
        "drops_by_size (feed=? AND customer=? AND size=?)",
        "drops_unsettled",
    ]
