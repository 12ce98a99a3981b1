"""The service under a real systemd, in a machine of its own: `make test-systemd`."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from deltalake import DeltaTable

from tests.corpus import text
from tests.systemd.booting import CHECKOUT, UNIT, Machine, booted, missing

#: Where the installed program is kept between two runs; only with it these tests run.
KEPT = os.environ.get("BLOBDROP_TEST_SYSTEMD", "")

pytestmark = [
    pytest.mark.skipif(not KEPT, reason="boots a systemd of its own: make test-systemd"),
    pytest.mark.skipif(bool(KEPT and missing()), reason=missing()),
    pytest.mark.timeout(600),
]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine in which blobdrop was just installed."""
    with booted(tmp_path_factory.mktemp("machine"), Path(KEPT).absolute(), f"blobdrop-{os.getpid()}") as made:
        yield made


@pytest.fixture
def service(machine: Machine) -> Machine:
    """The same machine with the service running."""
    machine.run("systemctl", "start", UNIT)
    assert machine.property("ActiveState") == "active"
    return machine


def rows(machine: Machine) -> list[int]:
    """Return how many rows of the table each drop has brought."""
    root = machine.state / "tables" / "metrics"
    if not DeltaTable.is_deltatable(str(root)):
        return []
    drops = DeltaTable(str(root)).to_pyarrow_table(columns=["_drop"])["_drop"].to_pylist()
    return sorted(drops.count(drop) for drop in set(drops))


def put_checkout(machine: Machine) -> None:
    """Have the checkout in /srv/checkout, whatever of this machine's folders the other one sees."""
    checkout = machine.root / "srv" / "checkout"
    for name in ("daemon", "validators", "deploy"):
        shutil.copytree(CHECKOUT / name, checkout / name, dirs_exist_ok=True)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(CHECKOUT / name, checkout / name)


def typed(machine: Machine, title: str) -> str:
    """Type the commands that deploy/README.md has below a title; return what they print."""
    section = (CHECKOUT / "deploy" / "README.md").read_text().partition(f"\n## {title}\n")[2]
    commands = section.partition("```sh\n")[2].partition("```")[0].replace("sudo ", "")
    return machine.run("sh", "-c", f"set -e; cd /srv/checkout; exec 2>&1\n{commands}")


def test_a_dropped_file_becomes_rows_and_a_line_of_json_in_the_journal(service: Machine) -> None:
    before = len(rows(service))
    service.drop("first.csv", text.good(7, "first"))
    service.wait(lambda: len(rows(service)) > before, "the rows are in the table")
    service.wait(lambda: [e for e in service.events() if e["event"] == "drop.ingested"], "the journal has the drop")

    (line,) = [e for e in service.events() if e["event"] == "drop.ingested" and e["name"] == "metrics/first.csv"]
    assert (line["rows"], line["feed"], line["customer"], line["level"]) == (7, "metrics", "default", "info")
    assert line["drop"]
    assert line["seconds"] >= 0
    assert service.property("StatusText").endswith("done since the start")


def test_after_kill_9_it_is_started_again_and_each_row_is_there_once(service: Machine) -> None:
    had, restarts = len(rows(service)), int(service.property("NRestarts"))
    for number in range(60):
        service.drop(f"killed-{number}.csv", text.good(100 + number, f"k{number}"))
        if number in (20, 40):
            # It may be dead still of the kill before.
            service.run("kill", "-9", service.property("MainPID"), check=False)
    service.wait(lambda: int(service.property("NRestarts")) > restarts, "it was started again")
    service.wait(lambda: len(rows(service)) >= had + 60, "all rows are in the table", seconds=90)

    assert [count for count in rows(service) if count >= 100] == [100 + number for number in range(60)]


def test_a_loop_that_hangs_is_ended_by_the_watchdog_and_starts_again(service: Machine) -> None:
    hook = service.root / "opt" / "hanging"
    hook.mkdir(exist_ok=True)
    source = CHECKOUT / "tests" / "acceptance" / "hanging" / "sitecustomize.py"
    (hook / "sitecustomize.py").write_text(source.read_text())
    variables = "PYTHONPATH=/opt/hanging HANGING_AT=/var/lib/blobdrop/drops HANGING_WHILE=/var/lib/blobdrop/hang"
    service.configure(hanging=f"[Service]\nWatchdogSec=3\nEnvironment={variables}\n")
    service.run("systemctl", "restart", UNIT)
    restarts, had = int(service.property("NRestarts")), len(rows(service))

    hang = service.state / "hang"
    hang.touch()
    service.wait(lambda: int(service.property("NRestarts")) > restarts, "the watchdog has ended it")
    hang.unlink()
    service.drop("after-hang.csv", text.good(9, "hang"))
    service.wait(lambda: len(rows(service)) > had, "it works again")

    said = service.run("journalctl", "-u", UNIT, "--no-pager", "-o", "cat")
    assert "Watchdog timeout" in said
    assert "sitecustomize.py" in said, "the journal has where it hung"
    (service.root / "etc" / "systemd" / "system" / f"{UNIT}.d" / "hanging.conf").unlink()
    service.run("systemctl", "daemon-reload")


def test_it_stops_within_ten_seconds_in_the_middle_of_work(service: Machine) -> None:
    service.drop("big.csv", text.good(1_000_000, "big"))
    time.sleep(2)
    began = time.monotonic()
    service.run("systemctl", "stop", UNIT)

    assert time.monotonic() - began < 10
    assert (service.property("Result"), service.property("ExecMainStatus")) == ("success", "0")
    assert service.property("TasksCurrent") in ("[not set]", "0")


def test_what_root_has_restored_is_the_services_again(service: Machine) -> None:
    user, had = service.state.stat().st_uid, len(rows(service))
    service.run("blobdrop", "ledger", "backup", "/root/ledger.db", "--force")
    service.run("systemctl", "stop", UNIT)
    for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
        (service.state / name).unlink(missing_ok=True)
    service.run("cp", "/root/ledger.db", "/var/lib/blobdrop/ledger.db")
    service.run("chown", "root:", "/var/lib/private/blobdrop")
    service.run("systemctl", "start", UNIT)

    assert (service.state / "ledger.db").stat().st_uid == user
    service.drop("after-restore.csv", text.good(8, "restored"))
    service.wait(lambda: len(rows(service)) == had + 1, "it works on")


def test_a_reload_keeps_the_process_and_a_wrong_configuration_out(service: Machine) -> None:
    process = service.property("MainPID")
    file = service.root / "etc" / "blobdrop" / "blobdrop.toml"
    right = file.read_text()

    def reload(text_of_file: str, event: str) -> None:
        file.write_text(text_of_file)
        service.run("systemctl", "reload", UNIT)
        service.wait(lambda: [each for each in service.events() if each["event"] == event], event)

    reload("[sauce]\n", "configuration.refused")
    reload(right + "\n", "configuration.reloaded")
    assert (service.property("MainPID"), service.property("ActiveState")) == (process, "active")


def test_what_was_backed_up_is_restored_on_a_new_machine_by_the_words_of_the_readme(service: Machine) -> None:
    put_checkout(service)
    before = len(rows(service))
    service.drop("before-backup.csv", text.good(6, "kept"))
    service.wait(lambda: len(rows(service)) > before, "the rows are in the table")
    had = rows(service)
    typed(service, "Back up")
    service.run("systemctl", "stop", UNIT)
    service.run("sh", "-c", "rm -rf /var/lib/private /var/lib/blobdrop /etc/blobdrop/*")
    typed(service, "Restore, or move to another machine")

    assert service.property("ActiveState") == "active"
    assert rows(service) == had
    service.drop("after-move.csv", text.good(5, "moved"))
    service.wait(lambda: len(rows(service)) == len(had) + 1, "it works on")
    service.run("sh", "-c", f"systemctl stop {UNIT}; rm /var/lib/blobdrop/ledger.db*")
    typed(service, "Rebuild the ledger")
    assert service.property("ActiveState") == "active"
    assert len(rows(service)) == len(had) + 1


def test_an_upgrade_does_not_end_a_service_whose_configuration_has_become_wrong(service: Machine) -> None:
    process = service.property("MainPID")
    put_checkout(service)
    file = service.root / "etc" / "blobdrop" / "blobdrop.toml"
    right = file.read_text()

    file.write_text("[sauce]\n")
    install = ("sh", "-c", "/srv/checkout/deploy/install.sh 2>&1")
    said = service.run(*install, check=False)
    assert "did you mean source?" in said
    assert "The service goes on with the program that it has" in said
    assert (service.property("MainPID"), service.property("ActiveState")) == (process, "active")
    file.write_text(right)
    service.run(*install)
    assert service.property("MainPID") != process
    assert service.property("ActiveState") == "active"


def test_it_writes_nothing_outside_its_state_directory(service: Machine) -> None:
    user = service.state.stat().st_uid
    assert user > 1000, "a dynamic user"
    state = service.written / "var" / "lib" / "private" / "blobdrop"
    outside = [
        path
        for path in service.written.rglob("*")
        if path.lstat().st_uid == user and not path.is_relative_to(state) and "log/journal" not in str(path)
    ]
    assert outside == []


def test_the_process_has_no_rights_and_no_writable_code(service: Machine) -> None:
    process = service.property("MainPID")
    status = dict(
        line.split(":\t", 1) for line in service.run("cat", f"/proc/{process}/status").splitlines() if ":\t" in line
    )
    assert (status["NoNewPrivs"], status["Seccomp"], int(status["CapEff"], 16)) == ("1", "2", 0)
    mapped = service.run("cat", f"/proc/{process}/maps")
    assert not [line for line in mapped.splitlines() if "wx" in line.split()[1]]


def test_a_credential_reaches_the_daemon_by_the_credential_store_only(service: Machine) -> None:
    store = service.root / "etc" / "credstore"
    store.mkdir(mode=0o700, exist_ok=True)
    (store / "blobdrop.AZURE_STORAGE_KEY").write_text("c2VjcmV0")
    service.run("systemctl", "restart", UNIT)

    process = service.property("MainPID")
    environ = service.run("cat", f"/proc/{process}/environ").split("\0")
    assert "CREDENTIALS_DIRECTORY=/run/credentials/blobdrop.service" in environ
    assert not [each for each in environ if "c2VjcmV0" in each]
    assert service.run("cat", "/run/credentials/blobdrop.service/AZURE_STORAGE_KEY") == "c2VjcmV0"


def test_a_wrong_configuration_ends_it_for_good_and_says_why(service: Machine) -> None:
    file = service.root / "etc" / "blobdrop" / "blobdrop.toml"
    right = file.read_text()
    file.write_text("[sauce]\n")
    service.run("systemctl", "restart", UNIT, check=False)
    service.wait(lambda: service.property("ActiveState") == "failed", "it has failed")

    assert service.property("ExecMainStatus") == "2"
    assert "sauce" in service.run("journalctl", "-u", UNIT, "--no-pager", "-o", "cat", "-n", "20")
    file.write_text(right)
    service.run("systemctl", "reset-failed", UNIT)


def test_it_answers_watchers_and_tells_people_from_within_its_sandbox(service: Machine) -> None:
    file = service.root / "etc" / "blobdrop" / "blobdrop.toml"
    right = file.read_text()
    page = 'command = ["sh", "-c", "cat >> /var/lib/blobdrop/told.json; echo >> /var/lib/blobdrop/told.json"]'
    told = f'[[notify]]\nname = "ops"\non = ["drop_rejected"]\nwindow_seconds = 1\n{page}\n'
    file.write_text(right.replace('#listen = ""', 'listen = "127.0.0.1:9464"') + told)
    service.run("systemctl", "reload", UNIT)
    service.wait(lambda: [e for e in service.events() if e["event"] == "http.listening"], "it listens")
    service.drop("rejected.csv", b"nothing,of,ours\n1,2,3\n")
    service.wait(lambda: [e for e in service.events() if e["event"] == "notify.delivered"], "people are told")

    assert '"count": 1' in (service.state / "told.json").read_text()
    ask = "import sys, urllib.request as r; print(r.urlopen('http://127.0.0.1:9464/' + sys.argv[1]).read().decode())"
    assert 'blobdrop_drops_total{feed="metrics",state="rejected"} 1.0' in service.run("python3", "-c", ask, "metrics")
    assert "blobdrop_process_open_fds" in service.run("python3", "-c", ask, "metrics")
    assert '"ok": true' in service.run("python3", "-c", ask, "readyz")
    file.write_text(right)
    service.run("systemctl", "restart", UNIT)
