"""People are told of what has happened: grouped, signed, tried again, and never of what stood in cells."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from daemon.errors import ConfigError, UndeliveredError
from daemon.ledger.backup import back_up
from daemon.ledger.days import Day
from daemon.markers import Reading, Standing
from daemon.model import Found
from daemon.notifying import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Notifier
from daemon.notifying.messages import message
from daemon.notifying.news import NAMED, OVERLAP_SECONDS, Mark, News, beginning
from daemon.notifying.receivers import way
from daemon.notifying.ways import ID, SIGNATURE, Command, Way, Webhook
from daemon.settings.watching import NotifySettings, On
from tests.unit.daemon.conftest import NOON, Rig, dirty, good, killed

ALL = [each for each in On if each is not On.NOTHING_ARRIVED]
SECRET_CELL = "4111-1111"  # noqa: S105 - what a customer may have in a cell
DAY = 86_400


def bad(tag: str = "") -> bytes:
    """Return a file that is rejected as a whole, with something private in a cell."""
    return f"unit_id,id_type,metric_name,date,metric_value\n{tag},{SECRET_CELL},m,2026-03-01,{SECRET_CELL}\n".encode()


def wanted(**settings: Any) -> NotifySettings:
    return NotifySettings(**{"name": "ops", "on": ALL, "webhook": "http://localhost/x", **settings})


def news(rig: Rig, **settings: Any) -> News:
    return News(rig.ledger, rig.parts.feeds, wanted(**settings))


@dataclass
class Receiver:
    """A real HTTP server that answers as a test says."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def messages(self) -> list[Any]:
        return [json.loads(body) for _, body in self.got]


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Requests(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.got.append((dict(self.headers), body))
            self.send_response(receiver.answers.pop(0) if receiver.answers else 204)
            self.send_header("Location", f"{receiver.url}/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Requests) as server:
        receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield receiver
        server.shutdown()
        thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def notifier(rig: Rig, way_: Way, **settings: Any) -> Notifier:
    made = wanted(**settings)
    file = rig.folder / "ledger.db.notify.ops"
    told = News(rig.ledger, rig.parts.feeds, made)
    return Notifier(
        "ops", rig.ledger, told, way_, file=file, window_seconds=made.window_seconds, log=rig.log, clock=rig.clock
    )


def webhook(receiver: Receiver, secret: str = "") -> Webhook:
    return Webhook(f"{receiver.url}/hook/T0K3N", secret=secret, timeout_seconds=5.0)


def mark(rig: Rig, reading: Reading, customer: str = "acme", version: str = "1") -> None:
    found = Found(uri="mem:///_READY", name=f"{customer}/_READY", version=version, size=1, modified=1.0)
    rig.ledger.markers.add(found, {("metrics", customer): reading}, {}, rig.clock())


# ---------------------------------------------------------------- WHAT HAS HAPPENED


def test_five_hundred_bad_files_are_one_thing_with_a_count_and_the_first_by_name(rig: Rig) -> None:
    since = beginning(rig.ledger, rig.clock())
    rig.take_in(**{f"bad{number:03}": bad(str(number)) for number in range(500)}, fine=good(2))
    after, groups = news(rig).since(since, rig.clock())
    (group,) = groups
    assert (group["on"], group["feed"], group["customer"], group["count"]) == (
        "drop_rejected",
        "metrics",
        "default",
        500,
    )
    assert group["rows"] == {"read": 500, "rejected": 500}
    assert len(group["first"]) == NAMED
    assert group["first"][0]["name"].startswith("metrics/bad")
    assert {rule["rule"]: rule["count"] for rule in group["rules"]} == {"isin": 500, "type": 500}
    assert news(rig).since(after, rig.clock()) == (after, [])


def test_nothing_that_stood_in_a_cell_is_told(rig: Rig) -> None:
    since = beginning(rig.ledger, rig.clock())
    rig.take_in(a=bad(), b=dirty())
    after, groups = news(rig, reject_ratio_above=0.0).since(since, rig.clock())
    told = json.dumps(message("ops", "ledger", (since, after), groups, NOON))
    assert {group["on"] for group in groups} == {"drop_rejected", "reject_ratio"}
    assert SECRET_CELL not in told
    assert "lots" not in told


@pytest.mark.parametrize(("above", "told"), [(0.05, 1), (0.1, 0), (0.5, 0)])
def test_a_share_of_rejected_rows_is_told_above_its_bound(rig: Rig, above: float, told: int) -> None:
    since = beginning(rig.ledger, rig.clock())
    rig.take_in(a=dirty())
    groups = news(rig, reject_ratio_above=above).since(since, rig.clock())[1]
    assert [group["on"] for group in groups] == ["reject_ratio"] * told


def test_a_rejected_drop_is_told_once_whatever_else_is_asked_for(rig: Rig) -> None:
    since = beginning(rig.ledger, rig.clock())
    rig.take_in(a=bad())
    assert [group["on"] for group in news(rig).since(since, rig.clock())[1]] == ["drop_rejected"]
    only = news(rig, on=["reject_ratio"])
    assert [group["on"] for group in only.since(since, rig.clock())[1]] == ["reject_ratio"]


def test_a_failed_drop_is_told(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(rules={"attempts": 1})
    since = beginning(rig.ledger, rig.clock())
    rig.workers.hold = True
    rig.ingest.claim(rig.put(a=good(2)))
    rig.ingest.pump()
    rig.workers.lose(killed())
    rig.ingest.collect()
    (group,) = news(rig).since(since, rig.clock())[1]
    assert (group["on"], group["count"]) == ("drop_failed", 1)
    assert "SIGKILL" in group["first"][0]["reason"]


def test_a_marker_that_is_refused_is_told_at_once_and_one_that_waits_when_it_is(rig: Rig) -> None:
    since = beginning(rig.ledger, rig.clock())
    mark(rig, Reading(standing=Standing.UNREADABLE, note="it is empty"))
    mark(rig, Reading(standing=Standing.WAITING, instant=100), version="2")
    since, groups = news(rig).since(since, rig.clock())
    assert [(group["on"], group["first"][0]["verdict"]) for group in groups] == [("marker_refused", "unreadable")]
    (waiting,) = rig.ledger.markers.waiting()
    rig.ledger.markers.judge(waiting, rig.clock())
    mark(rig, Reading(standing=Standing.WAITING, instant=50), version="3")
    since, groups = news(rig).since(since, rig.clock())
    assert groups == []
    (waiting,) = rig.ledger.markers.waiting()
    rig.ledger.markers.judge(waiting, rig.clock())
    since, groups = news(rig).since(since, rig.clock())
    assert [group["first"][0]["verdict"] for group in groups] == ["regressed"]
    assert news(rig).since(since, rig.clock())[1] == []


def test_a_day_that_is_held_is_told_and_then_that_it_was_closed(rig: Rig) -> None:
    since = beginning(rig.ledger, rig.clock())
    scope = ("metrics", "acme")
    rig.ledger.days.open(scope, ["2026-03-01"], NOON, NOON)
    rig.ledger.days.hold(rig.ledger.days.unclosed()[0], "no rows of 'clicks', expected them", {"rows": 7})
    since, groups = news(rig).since(since, NOON)
    (group,) = groups
    assert (group["on"], group["first"]) == (
        "day_held",
        [{"date": "2026-03-01", "reason": "no rows of '…', expected them"}],
    )
    since, groups = news(rig).since(since, NOON)
    assert groups == []
    row = rig.ledger.days.one(scope, "2026-03-01")
    assert row is not None
    rig.ledger.days.allow(row, "fine", "me")
    # The clock was set back meanwhile.
    rig.ledger.days.end(rig.ledger.days.unclosed()[0], Day.CLOSED, {"rows": 7}, NOON - OVERLAP_SECONDS / 2, as_of=0)
    since, groups = news(rig).since(since, NOON)
    assert [(group["on"], group["first"]) for group in groups] == [
        ("day_closed", [{"date": "2026-03-01", "version": 1, "rows": 7}])
    ]
    assert news(rig).since(since, NOON)[1] == []


def test_that_nothing_arrived_by_a_time_of_day_is_told_once_a_day_in_the_feeds_zone(rig: Rig) -> None:
    # Noon in UTC is 04:00 in the feed's zone.
    rig.clock.now = NOON
    asked = news(rig, on=["nothing_arrived"], arrive_by="06:00")
    since, groups = asked.since(Mark(), rig.clock())
    assert groups == []
    rig.clock.now += 2 * 3600
    since, groups = asked.since(since, rig.clock())
    shown = {"date": "2026-03-01", "by": "06:00", "timezone": "Etc/GMT+8"}
    assert [(group["on"], group["feed"], group["first"]) for group in groups] == [
        ("nothing_arrived", "metrics", [shown])
    ]
    since, groups = asked.since(since, rig.clock())
    assert groups == []
    rig.clock.now += DAY - 3600
    rig.take_in(a=good(2))
    rig.clock.now += 3600
    since, groups = asked.since(since, rig.clock())
    assert groups == []
    assert since.arrivals == {"metrics": "2026-03-02"}


def test_that_nothing_arrived_is_told_after_midnight_too(rig: Rig, receiver: Receiver) -> None:
    # 23:40 in the feed's zone; the window ends on the next day, and so does the receiver's outage.
    rig.clock.now = NOON + 19 * 3600 + 2400
    teller = notifier(rig, webhook(receiver), on=["nothing_arrived"], arrive_by="23:45", window_seconds=3600.0)
    teller._look()
    rig.clock.now += 600
    teller._look()
    rig.clock.now += 3600
    receiver.answers = [503]
    assert teller._try(teller._look)
    rig.clock.now += DAY
    teller._look()

    (told,) = receiver.messages()[1:]
    assert [each["date"] for each in told["events"][0]["first"]] == ["2026-03-01", "2026-03-02"]
    assert "nothing arrived on 2 days, the first 2026-03-01, by 23:45 Etc/GMT+8" in told["text"]
    rig.clock.now += 3600
    teller._look()
    assert len(receiver.got) == 2


def test_what_was_due_before_a_receiver_was_set_up_is_no_news(rig: Rig) -> None:
    rig.clock.now = NOON
    asked = news(rig, on=["nothing_arrived"], arrive_by="23:00")
    since, groups = asked.since(beginning(rig.ledger, rig.clock()), rig.clock())
    assert (groups, since.arrivals) == ([], {"metrics": "2026-02-28"})


def test_other_feeds_and_other_kinds_are_left_out(rig: Rig) -> None:
    since = beginning(rig.ledger, rig.clock())
    rig.take_in(a=bad())
    assert news(rig, feeds=["orders"]).since(since, rig.clock())[1] == []
    assert news(rig, on=["day_held"]).since(since, rig.clock())[1] == []


def test_a_mark_comes_back_from_its_file_as_it_was() -> None:
    key = ("metrics", "a'c\"me", "2026-03-01", 2)
    mark = Mark(
        event=7, marker=3, waiting=(1, 2), closed_at=NOON, closed=frozenset({key}), arrivals={"m": "2026-03-01"}
    )
    assert Mark.of_json(json.loads(json.dumps(mark.to_json()))) == mark


# ---------------------------------------------------------------- DELIVERY


def test_a_message_is_posted_signed_and_said_in_words(rig: Rig, receiver: Receiver) -> None:
    teller = notifier(rig, webhook(receiver, "the key"))
    rig.take_in(a=bad())
    assert teller._try(teller._tell) == 0.0
    ((headers, body),) = receiver.got
    assert headers[SIGNATURE] == "sha256=" + hmac.new(b"the key", body, hashlib.sha256).hexdigest()
    told = json.loads(body)
    assert headers[ID] == told["id"]
    assert told["text"].startswith("metrics of default: 1 drop rejected, the first metrics/a.csv (")
    assert teller._try(teller._tell) == 0.0
    assert len(receiver.got) == 1, "nothing new, nothing told"
    (said,) = rig.events("notify.delivered")
    assert (said["notify"], said["things"]) == ("ops", 1)


def test_without_a_key_a_message_is_not_signed(rig: Rig, receiver: Receiver) -> None:
    teller = notifier(rig, webhook(receiver))
    rig.take_in(a=bad())
    teller._try(teller._tell)
    assert SIGNATURE not in receiver.got[0][0]


def test_what_is_refused_is_tried_again_later_and_later_with_all_that_came_meanwhile(
    rig: Rig, receiver: Receiver
) -> None:
    teller = notifier(rig, webhook(receiver))
    receiver.answers = [500, 302, 404]
    rig.take_in(a=bad())
    assert [teller._try(teller._tell) for _ in range(3)] == [FIRST_PAUSE_SECONDS * factor for factor in (1, 2, 4)]
    first, second, third = receiver.messages()
    assert first["id"] == second["id"] == third["id"], "nothing was added"
    rig.take_in(b=bad("b"))
    assert teller._try(teller._tell) == 0.0
    assert receiver.messages()[3]["events"][0]["count"] == 2
    assert receiver.messages()[3]["id"] != first["id"]
    assert [said["reason"] for said in rig.events("notify.failed")] == [
        f"127.0.0.1 answered {status}, expected 200 to 299" for status in (500, 302, 404)
    ]
    assert all("T0K3N" not in str(entry) for entry in rig.told.entries)


def test_messages_may_come_one_right_after_the_other(receiver: Receiver) -> None:
    way = webhook(receiver)
    for number in range(200):
        way.deliver(b"{}", str(number))
    assert len(receiver.got) == 200


def test_pauses_grow_up_to_a_bound(rig: Rig) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/T0K3N"
        teller = notifier(rig, Webhook(url, secret="", timeout_seconds=1.0))
        rig.take_in(a=bad())
        pauses = [teller._try(teller._tell) for _ in range(11)]
    assert pauses[-1] == LONGEST_PAUSE_SECONDS
    assert rig.events("notify.failed")[0]["reason"] == "127.0.0.1 could not be asked: ConnectionError"


def test_what_is_undelivered_at_a_crash_is_told_after_the_next_start(rig: Rig, receiver: Receiver) -> None:
    teller = notifier(rig, webhook(receiver))
    receiver.answers = [503]
    rig.take_in(a=bad())
    assert teller._try(teller._tell) > 0
    rig.crash()
    rig.start()
    again = notifier(rig, webhook(receiver))
    assert again._try(again._tell) == 0.0
    assert [told["events"][0]["count"] for told in receiver.messages()] == [1, 1]
    rig.crash()
    rig.start()
    last = notifier(rig, webhook(receiver))
    last._tell()
    assert len(receiver.got) == 2


def test_with_an_older_ledger_put_back_what_happens_then_is_told(rig: Rig, receiver: Receiver) -> None:
    backup = rig.folder / "backup.db"
    back_up(rig.path, backup)
    first = notifier(rig, webhook(receiver))
    rig.take_in(**{f"bad{number}": bad(str(number)) for number in range(5)})
    first._tell()
    rig.close()
    for name in ("", "-wal", "-shm"):
        rig.path.with_name(f"ledger.db{name}").unlink(missing_ok=True)
    backup.rename(rig.path)
    rig.start()
    again = notifier(rig, webhook(receiver))
    rig.take_in(another=bad("another"))
    again._tell()
    assert [told["events"][0]["count"] for told in receiver.messages()] == [5, 1]


def test_what_was_before_a_receiver_was_set_up_is_no_news(rig: Rig, receiver: Receiver) -> None:
    rig.take_in(a=bad())
    notifier(rig, webhook(receiver))._tell()
    assert receiver.got == []


def test_what_happens_within_a_window_is_one_message(rig: Rig, receiver: Receiver) -> None:
    teller = notifier(rig, webhook(receiver), window_seconds=60.0)
    teller._look()
    for number in range(5):
        rig.take_in(**{f"bad{number}": bad(str(number))})
        teller._look()
        rig.clock.now += 14.9
    assert receiver.got == []
    teller._look()
    assert [told["events"][0]["count"] for told in receiver.messages()] == [5]
    rig.clock.now += 1000
    teller._look()
    assert len(receiver.got) == 1


def test_how_far_it_has_come_is_written_now_and_then_though_nothing_was_told(
    rig: Rig, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    teller = notifier(rig, webhook(receiver))
    file = rig.folder / "ledger.db.notify.ops"
    begun = file.read_text()
    rig.take_in(fine=good(2))
    teller._look()
    assert file.read_text() == begun
    monkeypatch.setattr("daemon.notifying.WRITE_SECONDS", 0.0)
    teller._look()
    assert json.loads(file.read_text())["event"] > json.loads(begun)["event"]


def test_a_slow_receiver_holds_up_nothing_and_a_stop_does_not_wait_for_it(rig: Rig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hook = Webhook(f"http://127.0.0.1:{silent.getsockname()[1]}", secret="", timeout_seconds=4.0)
        teller = notifier(rig, hook)
        teller._window_seconds = 0.0
        rig.take_in(a=bad())
        teller.start()
        silent.accept()[0].close()
        began = time.monotonic()
        teller.stop()
        teller.join(0.5)
        assert time.monotonic() - began < 3


def test_an_answer_that_drips_in_byte_by_byte_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as dripping:
        hook = Webhook(f"http://127.0.0.1:{dripping.getsockname()[1]}", secret="", timeout_seconds=0.3)
        over = threading.Event()

        def drip() -> None:
            connection = dripping.accept()[0]
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
                while not over.wait(0.05):
                    connection.sendall(b"x")

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            with pytest.raises(UndeliveredError, match=r"127\.0\.0\.1 did not answer within 0\.3 s"):
                hook.deliver(b"{}", "1")
            with pytest.raises(UndeliveredError, match="has not ended its answer"):
                hook.deliver(b"{}", "1")
        finally:
            over.set()
            thread.join()


def test_what_runs_once_tells_at_its_end_in_a_few_goes(rig: Rig, receiver: Receiver) -> None:
    teller = notifier(rig, webhook(receiver))
    receiver.answers = [503]
    rig.take_in(a=bad())
    teller.finish()
    assert len(receiver.got) == 2


# ---------------------------------------------------------------- COMMANDS


def command(
    code: str, *arguments: str, timeout_seconds: float = 5.0, environ: Mapping[str, str] = {"PATH": "/bin:/usr/bin"}
) -> Command:
    argv = (sys.executable, "-I", "-c", code, *arguments)
    return Command(argv, timeout_seconds=timeout_seconds, environ=environ)


def test_a_command_gets_the_message_and_none_of_our_secrets(tmp_path: Path) -> None:
    code = "import os, sys; open(sys.argv[1], 'w').write(sys.stdin.read() + '|' + ' '.join(sorted(os.environ)))"
    environ = {"PATH": "/bin", "AZURE_STORAGE_KEY": "k", "NOTIFY_SECRET": "s"}
    command(code, str(tmp_path / "got"), environ=environ).deliver(b'{"a": 1}', "id")
    body, _, names = (tmp_path / "got").read_text().partition("|")
    assert json.loads(body) == {"a": 1}
    assert {"PATH", "BLOBDROP_MESSAGE_ID"} <= set(names.split())
    assert not {"AZURE_STORAGE_KEY", "NOTIFY_SECRET"} & set(names.split())


def test_a_command_that_fails_is_told_with_what_it_wrote() -> None:
    with pytest.raises(UndeliveredError, match=r"ended with 3, expected 0: no modem$"):
        command("import sys; print('no modem', file=sys.stderr); sys.exit(3)").deliver(b"{}" * 100_000, "id")


def test_a_command_that_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time; p = subprocess.Popen(['sleep', '60']); "
        "open(sys.argv[1], 'w').write(str(p.pid)); time.sleep(60)"
    )
    with pytest.raises(UndeliveredError, match=r"was ended: it took 1 s"):
        command(code, str(tmp_path / "pid"), timeout_seconds=1.0).deliver(b"{}", "id")
    child = Path(f"/proc/{(tmp_path / 'pid').read_text()}/stat")
    deadline = time.monotonic() + 5
    while child.exists() and child.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_program_that_is_gone_is_told() -> None:
    with pytest.raises(UndeliveredError, match="cannot be started: No such file"):
        Command(["/nowhere/page"], timeout_seconds=1.0, environ={}).deliver(b"{}", "id")


# ---------------------------------------------------------------- SECRETS


def test_a_key_comes_from_a_variable_or_a_credential(tmp_path: Path, receiver: Receiver) -> None:
    settings = wanted(webhook="", webhook_from="HOOK", secret_from="NOTIFY_SECRET")  # noqa: S106 - a name
    (tmp_path / "HOOK").write_text(f"{receiver.url}\n")
    environ = {"NOTIFY_SECRET": "k", "CREDENTIALS_DIRECTORY": str(tmp_path)}
    way(settings, environ).deliver(b"{}", "id")
    assert receiver.got[0][0][SIGNATURE] == "sha256=" + hmac.new(b"k", b"{}", hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {"secret_from": "NOTIFY_SECRET"},
            "secret_from = 'NOTIFY_SECRET': there is no such secret; expected a variable",
        ),
        ({"webhook": "", "webhook_from": "HOOK"}, "webhook_from = 'HOOK': expected a URL such as https"),
        ({"webhook": "", "command": ["/nowhere/page"]}, "command = '/nowhere/page': there is no such program"),
    ],
)
def test_what_is_missing_is_an_error_of_the_configuration(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        way(wanted(**settings), {"HOOK": "t0ps3cret"})
    assert says in str(caught.value)
    assert "t0ps3cret" not in str(caught.value)
