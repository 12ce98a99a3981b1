"""A report on a terminal and in a pipe: the same words, with colours and without."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from daemon.model import State
from daemon.reports import Report, Subject
from daemon.reports.terminal import plain, show
from validators.model import Problem, Rows, Sample
from validators.sentences import sentence

ID_TYPES = "one of user_id, stable_id"
SAMPLES = (
    Sample(
        row=3, line=4, value="userid", message=sentence(3, 4, "id_type", "userid", ID_TYPES, "did you mean 'user_id'?")
    ),
    Sample(row=9, line=10, value=None, message=sentence(9, 10, "id_type", None, ID_TYPES)),
)
ID_TYPE = Problem(rule="isin", column="id_type", count=4, expected=ID_TYPES, sample=SAMPLES)
SUBJECT = Subject(drop_id="9f3c", uri="file:///d/m.csv", name="acme/metrics/m.csv", feed="metrics", customer="acme")
DIRTY = Report(subject=SUBJECT, state=State.PARTIAL, rows=Rows(read=120, accepted=116, rejected=4), problems=(ID_TYPE,))
MISSING = Problem(
    rule="missing_column",
    column="metric_value",
    count=1,
    expected="the column 'metric_value' is missing",
    hint="did you mean 'Metric Value'?",
    whole_file=True,
)
REJECTED = replace(
    DIRTY,
    state=State.REJECTED,
    problems=(MISSING,),
    rejected_because=MISSING.expected,
    ignored_columns=("Metric Value",),
)


def test_a_pipe_gets_plain_lines_that_are_never_broken() -> None:
    text = plain(DIRTY, folder="/q/acme")
    assert "\x1b" not in text
    assert all(line == line.rstrip() for line in text.splitlines())
    assert "4 of 120 rows were set aside; the other 116 are in the table.\n" in text
    said = "row 3 (line 4), column id_type: found 'userid', expected one of user_id, stable_id; did you mean 'user_id'?"
    assert f"  {said}\n" in text
    assert "id_type, isin (4 rows, the first 2 of them)\n" in text
    assert "mend its rejected.csv" in text
    assert "Rows:   /q/acme/rejected.csv\nReport: /q/acme/report.html\n" in text


def test_a_check_says_what_would_happen_and_speaks_of_no_folder() -> None:
    text = plain(DIRTY, checked_only=True)
    assert "4 of 120 rows would be set aside" in text
    assert "rejected.csv" not in text
    assert "What to do" in text


def test_a_terminal_gets_colours_and_markup_in_a_name_stays_text() -> None:
    evil = replace(ID_TYPE, column="[bold]c\x1b[0m", sample=(Sample(row=1, line=2, value="x", message="[red]x[/]"),))
    made = replace(DIRTY, problems=(evil,), notes=("[i]n",))
    out = io.StringIO()
    show(made, Console(file=out, force_terminal=True, color_system="standard", width=100), folder="/q")
    text = out.getvalue()
    assert "\x1b[" in text
    assert "[red]x[/]" in text
    assert r"[bold]c\x1b[0m" in text
    assert "\x1b[0m[bold]c\x1b[0m" not in text
    piped = io.StringIO()
    show(made, Console(file=piped, width=40), folder="/q")
    assert piped.getvalue() == plain(made, folder="/q")


def test_a_rejected_file_says_why_on_the_terminal() -> None:
    text = plain(REJECTED)
    assert "Because: the column 'metric_value' is missing\n" in text
    assert "Did you mean 'Metric Value'?" in text
    assert "Columns left out: Metric Value" in text
