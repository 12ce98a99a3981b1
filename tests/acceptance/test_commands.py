"""The commands as people and programs use them: real processes, real files, exit codes."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.acceptance.conftest import Blobdrop

CHECKOUT = Path(__file__).resolve().parents[2]
HEADER = "unit_id,id_type,metric_name,date,metric_value\n"
GOOD = (HEADER + "u1,user_id,visits,2026-03-01,3\nu2,user_id,visits,2026-03-01,4\n").encode()
DIRTY = (HEADER + "u1,user_id,visits,2026-03-02,3\nu2,userid,visits,2026-03-02,4\nu3,user_id,x,2026-03-02,5\n").encode()
#: A contract that a feed may have, and one that cannot be loaded.
ORDERS = """
import pandera.pandas as pa
print("this contract talks while it is loaded")
class Orders(pa.DataFrameModel):
    order_id: int = pa.Field(ge=1)
"""
#: One that kills its worker as long as there is a file beside it.
DEADLY = """
import os
from pathlib import Path
import pandera.pandas as pa
class Orders(pa.DataFrameModel):
    order_id: int = pa.Field(ge=1)
    @pa.check("order_id")
    def deadly(cls, column):
        if len(column) and Path(__file__).with_name("deadly").exists():
            os._exit(7)
        return column > 0
"""
FEEDS = """
[[feeds]]
name = "orders"
paths = ["orders/**"]
contract = "orders.py:Orders"
"""


def answer(blobdrop: Blobdrop, *arguments: str, code: int = 0) -> Any:
    """Return what a command prints as JSON, and nothing else on stdout."""
    done = blobdrop.run(*arguments, "--json")
    assert done.code == code, done.stderr
    return json.loads(done.stdout)


def make_deadly(blobdrop: Blobdrop) -> Path:
    """Drop a file whose worker dies as long as the returned one exists."""
    (blobdrop.folder / "orders.py").write_text(DEADLY)
    blobdrop.configure(FEEDS + "[workers]\nattempts = 1\n")
    blobdrop.drop("a.csv", b"order_id\n1\n", feed="orders")
    deadly = blobdrop.folder / "deadly"
    deadly.touch()
    return deadly


def refused(blobdrop: Blobdrop, *arguments: str, code: int = 2) -> str:
    """Return the one message of a command that cannot do what it was asked."""
    done = blobdrop.run(*arguments)
    assert done.code == code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("blobdrop: ")
    return done.stderr


def on_a_terminal(blobdrop: Blobdrop, *arguments: str, interrupt_after: str = "") -> tuple[int, str]:
    """Run a command on a pseudo terminal; return its exit code and what appeared. Ctrl-C is typed after some text."""
    parent, child = pty.openpty()
    settings = {"BLOBDROP_SOURCE__SETTLE_SECONDS": "0.1", "TERM": "xterm", "COLUMNS": "120"}
    environ = {key: value for key, value in os.environ.items() if not key.startswith("BLOBDROP_")}
    with subprocess.Popen(
        ["setsid", "--ctty", "--wait", sys.executable, "-m", "daemon", *arguments],
        stdin=child,
        stdout=child,
        stderr=child,
        cwd=blobdrop.folder,
        env={**environ, "PYTHONPATH": str(CHECKOUT), **settings},
    ) as process:
        os.close(child)
        shown, waits = "", bool(interrupt_after)
        with suppress(OSError):  # the terminal's other end is gone
            while piece := os.read(parent, 65_536):
                shown += piece.decode()
                if waits and interrupt_after in shown:
                    os.write(parent, b"\x03")
                    waits = False
    os.close(parent)
    return process.returncode, shown


# -------------------------------------------------------------------- RUN


def test_run_once_prints_a_summary_that_programs_can_read(blobdrop: Blobdrop) -> None:
    blobdrop.drop("good.csv", GOOD)
    blobdrop.drop("dirty.csv", DIRTY)
    blobdrop.drop("what.txt", b"x", feed="other")
    summary = answer(blobdrop, "run", "--once", code=1)

    assert summary["drops"] == {
        "ingested": 1,
        "partial": 1,
        "rejected": 0,
        "duplicate": 0,
        "failed": 0,
        "unmatched": 1,
    }
    assert summary["rows"] == {"read": 5, "accepted": 4, "rejected": 1}
    assert summary["markers"] == {"applied": 0, "refused": 0}
    assert (summary["days_closed"], summary["pending"]) == ([], 0)
    assert summary["tables"] == {"metrics": str(blobdrop.folder / "var" / "tables" / "metrics")}
    states = {each["name"]: (each["state"], bool(each["report"])) for each in summary["problems"]}
    assert states == {"other/what.txt": ("unmatched", False), "metrics/dirty.csv": ("partial", True)}
    again = answer(blobdrop, "run", "--once", code=0)
    assert not any(again["drops"].values())


def test_run_once_prints_a_summary_for_people_and_a_line_for_each_drop(blobdrop: Blobdrop) -> None:
    blobdrop.drop("good.csv", GOOD)
    blobdrop.drop("dirty.csv", DIRTY)
    done = blobdrop.run("run", "--once")
    report = blobdrop.entry("dirty.csv").relative_to(blobdrop.folder) / "report.html"

    assert done.code == 1
    assert re.search(
        r"ingested +partial +rejected +duplicate +failed +unmatched\ndrops +1 +1 +0 +0 +0 +0\n", done.stdout
    )
    assert re.search(r"read +accepted +rejected\nrows +5 +4 +1\n", done.stdout)
    assert f"partial  metrics/dirty.csv  {report}\n" in done.stdout
    assert f"metrics  {blobdrop.folder}/var/tables/metrics\n" in done.stdout
    assert re.search(r" ingested +metrics/good.csv  2 rows  0\.\d\d s\n", done.stderr)
    assert re.search(r" partial +metrics/dirty.csv  2 of 3 rows in the table, 1 set aside  ", done.stderr)
    assert "\x1b" not in done.stdout + done.stderr


def test_run_once_fails_with_3_when_a_drop_could_not_be_worked(blobdrop: Blobdrop) -> None:
    deadly = make_deadly(blobdrop)
    summary = answer(blobdrop, "run", "--once", code=3)

    assert summary["drops"]["failed"] == 1
    assert "exit code 7" in summary["problems"][0]["reason"]
    deadly.unlink()
    (failed,) = answer(blobdrop, "drops", "--state", "failed")
    assert answer(blobdrop, "retry", failed["id"][:8]) == {"retried": [failed["id"]], "daemon_running": False}
    assert answer(blobdrop, "run", "--once")["drops"]["ingested"] == 1
    assert "is ingested, and only failed drops can be tried again" in refused(blobdrop, "retry", failed["id"])


def test_the_daemon_says_where_to_drop_and_tells_each_drop_on_its_terminal(blobdrop: Blobdrop) -> None:
    blobdrop.drop("good.csv", GOOD)
    code, shown = on_a_terminal(blobdrop, "run", interrupt_after="metrics/good.csv  2 rows")

    assert code == 0
    assert f"Drop files into   {blobdrop.root}" in shown
    assert "metrics  metrics/**  or  {customer}/metrics/**" in shown
    assert f"Rows appear in    {blobdrop.folder}/var/tables/FEED" in shown
    assert f"Reports appear in {blobdrop.folder}/var/quarantine/CUSTOMER/FEED/DROP/report.html" in shown
    assert "Press Ctrl-C to stop" in shown
    assert "\x1b[32mingested" in shown
    assert f"Look around with  {sys.executable} -m daemon status" in shown
    assert "stopped\x1b[0m     nothing is half done" in shown or "stopped   \x1b[0m nothing is half done" in shown


def test_ctrl_c_at_the_start_leaves_no_traceback_of_any_process(blobdrop: Blobdrop) -> None:
    code, shown = on_a_terminal(blobdrop, "run", "--once", interrupt_after="starting")

    assert code in (0, 130)  # 0 where it had got as far as stopping in good order
    assert "Traceback" not in shown


def test_a_terminal_sees_progress_and_no_line_of_it_is_left(blobdrop: Blobdrop) -> None:
    blobdrop.drop("good.csv", GOOD)
    code, shown = on_a_terminal(blobdrop, "run", "--once")

    assert code == 0
    assert "starting" in shown
    assert re.search(r"\d of 1 drops done", shown)
    assert "metrics/good.csv  2 rows" in shown
    code, shown = on_a_terminal(blobdrop, "check", "drops/_archive/metrics/good.csv")
    assert code == 0
    assert "rows, 0 with problems" in shown
    assert "Both rows would go into the table." in shown


def test_log_lines_can_be_json_and_fewer(blobdrop: Blobdrop) -> None:
    blobdrop.drop("good.csv", GOOD)
    blobdrop.drop("dirty.csv", DIRTY)
    done = blobdrop.run("run", "--once", "--log-format", "json", "--log-level", "warning")

    (line,) = [json.loads(line) for line in done.stderr.splitlines()]
    assert (line["event"], line["name"], line["rejected"]) == ("drop.partial", "metrics/dirty.csv", 1)


# -------------------------------------------------------------------- CHECK


def test_check_gives_the_report_that_the_daemon_then_gives(blobdrop: Blobdrop) -> None:
    path = blobdrop.drop("dirty.csv", DIRTY)
    checked = answer(blobdrop, "check", str(path), code=1)
    assert not (blobdrop.folder / "var").exists()
    assert path.read_bytes() == DIRTY
    blobdrop.once()
    reported = blobdrop.report("dirty.csv")

    for at in ("started_at", "finished_at"):
        checked.pop(at)
        reported.pop(at)
    assert checked == reported


def test_check_finds_the_feed_by_the_path_wherever_the_file_is(blobdrop: Blobdrop) -> None:
    for name in ("metrics/a.csv", "elsewhere/in/metrics/a.csv", "drops/_archive/metrics/a.csv"):
        (blobdrop.folder / name).parent.mkdir(parents=True)
        (blobdrop.folder / name).write_bytes(GOOD)
        report = answer(blobdrop, "check", name)
        assert (report["feed"], report["customer"]) == ("metrics", "default")
    (blobdrop.folder / "plain.csv").write_bytes(GOOD)
    named = answer(blobdrop, "check", "plain.csv", "--feed", "metrics", "--customer", "acme")
    assert (named["customer"], named["state"]) == ("acme", "ingested")

    message = refused(blobdrop, "check", "plain.csv")
    assert "no feed's pattern fits this path; name the feed with --feed: metrics, events" in message


def test_check_with_one_feed_needs_no_name(blobdrop: Blobdrop) -> None:
    (blobdrop.folder / "orders.py").write_text(ORDERS)
    blobdrop.configure(FEEDS)
    (blobdrop.folder / "some.csv").write_bytes(b"order_id\n1\n0\n2\n3\n")
    report = answer(blobdrop, "check", "some.csv", code=1)

    assert (report["feed"], report["rows"]) == ("orders", {"read": 4, "accepted": 3, "rejected": 1})


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nowhere.csv",), "nowhere.csv: there is no such file"),
        (("drops",), "drops: this is a folder; name one file in it"),
        (("/dev/null",), "/dev/null: this is not a file"),
        (("drops/a.csv", "--feed", "metric"), "there is no feed 'metric'; did you mean 'metrics'?"),
    ],
)
def test_check_of_what_cannot_be_checked_is_a_usage_error(
    blobdrop: Blobdrop, arguments: tuple[str, ...], says: str
) -> None:
    (blobdrop.root / "a.csv").write_bytes(GOOD)

    assert says in refused(blobdrop, "check", *arguments)


def test_check_says_where_the_daemon_would_never_come_to_judge_a_file(blobdrop: Blobdrop) -> None:
    blobdrop.drop("half.csv.part", GOOD)
    blobdrop.drop("a.csv", GOOD, feed="other")

    assert (
        "names like this one are taken for temporary files"
        in blobdrop.run("check", "drops/metrics/half.csv.part").stderr
    )
    done = blobdrop.run("check", "drops/other/a.csv", "--feed", "metrics")
    assert "no feed has a pattern for its name" in done.stderr
    assert done.code == 0


# -------------------------------------------------------------------- LOOKING


def test_before_the_first_run_every_command_says_so_and_makes_nothing(blobdrop: Blobdrop) -> None:
    status = blobdrop.run("status")
    assert status.code == 0
    assert status.stdout.startswith("Nothing was ingested yet. Start the daemon with: blobdrop run\n")
    assert answer(blobdrop, "status")["daemon"]["running"] is False
    assert answer(blobdrop, "drops") == answer(blobdrop, "quarantine", "list") == []
    assert [each["rows"]["accepted"] for each in answer(blobdrop, "feeds")] == [0, 0]
    assert [each["merged"] for each in answer(blobdrop, "compact")] == [None, None]
    assert "nothing was ingested yet" in refused(blobdrop, "retry", "--all-failed")
    assert "There is no drop 'x' in quarantine" in refused(blobdrop, "quarantine", "show", "x")
    assert not (blobdrop.folder / "var").exists()


def test_a_feed_that_there_is_not_is_no_empty_list(blobdrop: Blobdrop) -> None:
    said = "there is no feed 'metric'; did you mean 'metrics'?"
    for command in (("drops",), ("quarantine", "list")):
        assert said in refused(blobdrop, *command, "--feed", "metric")
        assert answer(blobdrop, *command, "--feed", "events") == []


def test_a_ledger_that_is_gone_while_tables_are_there_is_an_error(blobdrop: Blobdrop) -> None:
    blobdrop.drop("good.csv", GOOD)
    blobdrop.once(code=0)
    for left in (blobdrop.folder / "var").glob("ledger.db*"):
        left.unlink()

    assert "there are tables in" in refused(blobdrop, "status", code=3)
    assert "restore it from a backup" in refused(blobdrop, "drops", code=3).lower()


def test_status_and_drops_and_feeds_tell_what_has_happened(blobdrop: Blobdrop) -> None:
    blobdrop.drop("good.csv", GOOD)
    blobdrop.drop("dirty.csv", DIRTY)
    blobdrop.drop("what.txt", b"x", feed="other")
    blobdrop.once()

    status = answer(blobdrop, "status")
    assert (status["drops"]["ingested"], status["drops"]["partial"], status["drops"]["unmatched"]) == (1, 1, 1)
    assert status["feeds"][0]["rows"] == {"accepted": 4, "rejected": 1}
    assert (status["in_quarantine"], status["unsettled"]) == (1, 0)
    assert {each["name"] for each in answer(blobdrop, "drops")} == {
        "metrics/good.csv",
        "metrics/dirty.csv",
        "other/what.txt",
    }
    for arguments in (("--state", "partial"), ("--name", "DIRTY"), ("--feed", "metrics", "--state", "partial")):
        assert [each["name"] for each in answer(blobdrop, "drops", *arguments)] == ["metrics/dirty.csv"]
    assert len(answer(blobdrop, "drops", "--limit", "1")) == 1
    metrics = answer(blobdrop, "feeds")[0]
    assert (metrics["name"], metrics["rows"], metrics["time_column"]) == (
        "metrics",
        {"accepted": 4, "rejected": 1},
        "date",
    )
    assert {"unit_id", "id_type", "metric_name"} <= set(metrics["columns"])
    assert "metrics/dirty.csv" in blobdrop.run("drops").stdout
    assert "4 in the table, 1 set aside" in blobdrop.run("feeds").stdout


def test_the_history_of_a_name_has_its_versions_and_what_happened_to_each(blobdrop: Blobdrop) -> None:
    for data in (DIRTY, GOOD):
        blobdrop.drop("a.csv", data)
        blobdrop.once()
    first, second = answer(blobdrop, "drops", "--history", "metrics/a.csv")

    assert (first["state"], second["state"]) == ("partial", "ingested")
    assert first["superseded_by"] == second["id"]
    assert [event["kind"] for event in first["events"]] == ["claimed", "recorded", "settled", "superseded"]
    assert answer(blobdrop, "drops", "--history", "a.csv")[0]["id"] == first["id"]
    assert "superseded" in blobdrop.run("drops", "--history", "metrics/a.csv").stdout
    assert "did you mean metrics/a.csv?" in refused(blobdrop, "drops", "--history", "b.csv")


def test_the_quarantine_lists_and_shows_what_was_set_aside(blobdrop: Blobdrop) -> None:
    blobdrop.drop("good.csv", GOOD)
    blobdrop.drop("dirty.csv", DIRTY)
    blobdrop.once()
    (entry,) = answer(blobdrop, "quarantine", "list")
    listed = blobdrop.run("quarantine", "list").stdout

    assert (entry["name"], entry["state"]) == ("metrics/dirty.csv", "partial")
    assert entry["rows"] == {"read": 3, "accepted": 2, "rejected": 1}
    assert "id_type: isin" in listed
    for key in (entry["drop"], entry["drop"][:6], "metrics/dirty.csv", "dirty.csv"):
        decided: dict[str, object] = {"decisions": [], "superseded_by": None}
        assert answer(blobdrop, "quarantine", "show", key) == blobdrop.report("dirty.csv") | decided
    shown = blobdrop.run("quarantine", "show", entry["drop"]).stdout
    assert "1 of 3 rows was set aside; the other 2 are in the table." in shown
    assert f"{entry['folder']}/report.html" in shown
    assert "has nothing in quarantine; it is ingested" in refused(blobdrop, "quarantine", "show", "good.csv")


def test_status_knows_a_daemon_that_runs(blobdrop: Blobdrop) -> None:
    blobdrop.start()
    assert blobdrop.process is not None
    running = answer(blobdrop, "status")["daemon"]

    assert (running["running"], running["pid"]) == (True, blobdrop.process.pid)
    assert f"running as process {blobdrop.process.pid}, since 20" in blobdrop.run("status").stdout
    assert "holds this ledger" in refused(blobdrop, "run", "--once", code=3)
    blobdrop.stop()
    assert answer(blobdrop, "status")["daemon"] == {"running": False, "pid": None, "since": None}


def test_a_running_daemon_takes_up_a_retry(blobdrop: Blobdrop) -> None:
    deadly = make_deadly(blobdrop)
    blobdrop.once(code=3)
    deadly.unlink()
    blobdrop.start()

    assert answer(blobdrop, "retry", "--all-failed")["daemon_running"] is True
    end = time.monotonic() + 20
    while blobdrop.states() != {"ingested": 1} and time.monotonic() < end:
        time.sleep(0.1)
    assert blobdrop.states() == {"ingested": 1}


def test_compact_merges_small_files_and_keeps_the_rows(blobdrop: Blobdrop) -> None:
    for number in range(3):
        blobdrop.drop(f"{number}.csv", GOOD.replace(b"u1", f"v{number}".encode()))
        blobdrop.once(code=0)

    assert answer(blobdrop, "compact", "metrics")[0]["merged"] == 3
    assert answer(blobdrop, "compact")[0]["merged"] == 0
    assert blobdrop.table().num_rows == 6
    assert "there is no feed 'metric'; did you mean 'metrics'?" in refused(blobdrop, "compact", "metric")


# -------------------------------------------------------------------- CONFIGURATION


def test_config_shows_every_setting_with_its_origin_and_no_secret(blobdrop: Blobdrop) -> None:
    (blobdrop.folder / "orders.py").write_text(ORDERS)
    blobdrop.configure(FEEDS + 'options = { }\n[source]\nafter = "keep"\n')
    blobdrop.settings["BLOBDROP_WORKERS__PROCESSES"] = "3"
    shown = answer(blobdrop, "config")
    settings = {each["name"]: (each["value"], each["origin"]) for each in shown["settings"]}
    file = str(blobdrop.folder / "blobdrop.toml")

    assert shown["file"] == file
    assert settings["source.after"] == ("keep", file)
    assert settings["workers.processes"] == (3, "BLOBDROP_WORKERS__PROCESSES")
    assert settings["workers.attempts"] == (3, "default")
    assert settings["feeds[0].contract"] == ("orders.py:Orders", file)
    assert settings["feeds[0].timezone"] == ("Etc/GMT+8", "default")
    assert settings["feeds[0].dialect.delimiter"] == (",", "default")
    assert shown["feeds"][0]["contract"]["name"]
    assert "this contract talks" not in blobdrop.run("config").stdout


@pytest.mark.parametrize("command", [("config",), ("feeds",), ("run", "--once"), ("run",)], ids=" ".join)
def test_a_contract_that_cannot_be_loaded_is_a_configuration_error_with_its_feed_and_cause(
    blobdrop: Blobdrop, command: tuple[str, ...]
) -> None:
    (blobdrop.folder / "orders.py").write_text("import nonsense_of_nobody\n")
    blobdrop.configure(FEEDS)
    blobdrop.drop("a.csv", b"order_id\n1\n", feed="orders")
    done = blobdrop.run(*command)

    assert done.code == 2
    assert "blobdrop: feed 'orders': contract 'orders.py:Orders'" in done.stderr
    assert "nonsense_of_nobody" in done.stderr
    assert blobdrop.states() == {}


def test_a_contract_that_kills_its_worker_is_a_configuration_error_with_its_feed(blobdrop: Blobdrop) -> None:
    (blobdrop.folder / "orders.py").write_text("import os\nos._exit(7)\n")
    blobdrop.configure(FEEDS)

    said = refused(blobdrop, "run", "--once")
    assert "feed 'orders': contract 'orders.py:Orders' was being loaded when the worker ended by itself" in said


@pytest.mark.parametrize("command", ["run", "status", "drops", "feeds", "config"])
def test_a_wrong_setting_stops_every_command_before_it_begins(blobdrop: Blobdrop, command: str) -> None:
    blobdrop.configure("[source]\nsettle_secs = 1\n")

    assert "source.settle_secs: there is no such setting; did you mean settle_seconds?" in refused(blobdrop, command)


def test_a_pattern_that_cannot_be_understood_names_its_feed(blobdrop: Blobdrop) -> None:
    (blobdrop.folder / "orders.py").write_text(ORDERS)
    blobdrop.configure(FEEDS.replace("orders/**", "orders/{client}/**"))

    for command in ("config", "feeds"):
        assert "feed 'orders': paths: 'orders/{client}/**'" in refused(blobdrop, command)


def test_the_configuration_may_stand_before_or_after_the_command(blobdrop: Blobdrop) -> None:
    (blobdrop.folder / "site.toml").write_text("[workers]\nprocesses = 5\n")
    for arguments in (("--config", "site.toml", "config", "--json"), ("config", "--json", "--config", "site.toml")):
        settings = json.loads(blobdrop.run(*arguments).stdout)["settings"]
        assert {each["name"]: each["value"] for each in settings}["workers.processes"] == 5


# -------------------------------------------------------------------- DEMO


def test_the_demo_shows_a_summary_a_report_and_paths_that_exist(blobdrop: Blobdrop) -> None:
    done = subprocess.run(
        [sys.executable, str(CHECKOUT / "deploy" / "demo.py")],
        capture_output=True,
        text=True,
        check=False,
        cwd=blobdrop.folder,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )

    assert done.returncode == 0, done.stderr
    assert re.search(r"drops +1 +2 +0 +0 +0 +0\n", done.stdout)
    assert "5 of 10 rows were set aside; the other 5 are in the table." in done.stdout
    paths = re.findall(r"^  (?:table|report|its rows) +(\S+)$", done.stdout, re.MULTILINE)
    assert len(paths) == 6
    assert all((blobdrop.folder / path).exists() for path in paths)
