"""`blobdrop run`: its summary, its exit code, where it says that everything is. The process itself: acceptance."""

from __future__ import annotations

import pytest

from daemon.commands import running
from daemon.config import load
from daemon.errors import ConfigError
from daemon.model import Drop, Found, Outcome, Rows, State
from daemon.tally import Tally
from tests.unit.daemon.commands.conftest import Place


def tally(*states: State) -> Tally:
    made = Tally()
    for number, state in enumerate(states):
        found = Found(uri=f"memory:///{number}", name=f"{number}.csv", version="1", size=1, modified=0.0)
        drop = Drop(id=found.drop_id, found=found, feed="metrics", customer="default")
        rows = Rows(read=2, accepted=1, rejected=1) if state is State.PARTIAL else Rows()
        report = "/q/default/metrics/x" if state in (State.PARTIAL, State.REJECTED) else ""
        made.ended(drop, Outcome(drop_id=drop.id, state=state, rows=rows, reason="why", report=report))
    return made


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ((), 0),
        ((State.INGESTED, State.DUPLICATE), 0),
        ((State.INGESTED, State.PARTIAL), 1),
        ((State.REJECTED,), 1),
        ((State.UNMATCHED,), 1),
        ((State.PARTIAL, State.FAILED), 3),
    ],
)
def test_the_exit_code_is_the_worst_that_happened(states: tuple[State, ...], code: int) -> None:
    assert running._exit_code(tally(*states)) == code


def test_the_summary_has_the_fields_that_others_build_on() -> None:
    found = running._summary(tally(State.PARTIAL, State.FAILED), 2, {"metrics": "/t/metrics"})
    assert found["drops"] == {
        "ingested": 0, "partial": 1, "rejected": 0, "duplicate": 0, "failed": 1, "unmatched": 0,
    }  # fmt: skip
    assert found["rows"] == {"read": 2, "accepted": 1, "rejected": 1}
    assert (found["markers"], found["days_closed"]) == ({"applied": 0, "refused": 0}, [])
    assert (found["pending"], found["tables"]) == (2, {"metrics": "/t/metrics"})
    assert [(each["state"], each["reason"]) for each in found["problems"]] == [("partial", "why"), ("failed", "why")]


def test_the_summary_for_people_says_where_to_look_next(place: Place) -> None:
    running._print_summary(tally(State.PARTIAL, State.FAILED, State.UNMATCHED), 1, {"metrics": "/t/metrics"}, 1.25)
    said = place.out()
    assert said.startswith("3 drops in 1.2 s\n")
    assert "/q/default/metrics/x/report.html" in said
    assert "for another go: blobdrop retry " in said
    assert "no feed has a pattern for this name: blobdrop feeds" in said
    assert "1 file left for another time: still being written" in said


def test_many_drops_with_problems_are_counted_where_they_are_not_named(place: Place) -> None:
    running._print_summary(tally(*[State.REJECTED] * 130), 0, {}, 1.0)
    assert "and 30 more: blobdrop drops --state partial (or rejected, failed, unmatched)" in place.out()


def test_json_is_for_the_summary_only(place: Place) -> None:
    with pytest.raises(ConfigError, match="--json is for the summary of run --once"):
        running.run(place.config, once=False, json=True, log_format=None, log_level=None)
    assert [path.name for path in place.folder.iterdir()] == ["blobdrop.toml"]


@pytest.mark.parametrize(
    ("after", "said"),
    [("archive", "moved into /d/_archive"), ("delete", "deleted"), ("keep", "left where they are")],
)
def test_it_says_what_becomes_of_the_files(place: Place, after: str, said: str) -> None:
    place.config.write_text(place.config.read_text().replace("[source]", f'[source]\nafter = "{after}"'))
    assert running._settled(load(place.config, {}), "/d") == said
