"""A report as one self-contained HTML page that its reader can act on. Pure; the looks are in `templates/report.html`.

Everything from a file reaches the template escaped, with hidden characters shown, and cut to a sensible length.
"""

from __future__ import annotations

import functools
import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from daemon.model import State
from daemon.reports import SUPERSEDED, Report, Subject, counted, sampled, summary
from validators.model import Problem, Sample
from validators.sentences import place, printable, sentence, shortened

TEMPLATES = Path(__file__).parents[1] / "templates"

#: Characters of a cell that the page shows; `report.json` has up to 200.
VALUE_CHARACTERS = 160
#: Characters of other texts from outside: names of columns, sentences with values in them.
TEXT_CHARACTERS = 400
#: Ignored columns that are named; a file may have thousands.
NAMED_COLUMNS = 40
#: Rules that get a block of their own; beyond that a table line has to do.
RULES_IN_FULL = 40
#: From so many rules on, a table of them stands above the blocks.
RULES_FOR_OVERVIEW = 3

_STATES = {
    State.INGESTED: ("good", "Everything taken"),
    State.PARTIAL: ("some", "Some rows set aside"),
    State.REJECTED: ("none", "File set aside"),
    State.FAILED: ("none", "Not worked"),
}
_KILO = 1000
_HIDDEN = re.compile(r"[^ -~]|^ +| +$")


@dataclass(frozen=True, kw_only=True)
class Beside:
    """The files that lie in the same folder as the page."""

    #: Whether `rejected.csv` does.
    rejected: bool = False
    #: The name of the original's copy; empty for none.
    original: str = ""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One sample in a block's table."""

    row: str
    line: str
    value: Markup
    #: What to do with this value, or what is wrong with it; empty when the block's heading says it all.
    note: Markup


@dataclass(frozen=True, kw_only=True)
class Block:
    """One broken rule on the page."""

    number: int
    rule: str
    column: Markup | None
    #: "3 rows", or "the whole file".
    count: str
    whole_file: bool
    expected: Markup
    hint: Markup
    lines: tuple[Line, ...]
    #: The count as the overview shows it: digits only.
    rows: str
    #: Whether a sample has a physical line, a row, a value, a note: a column of nothing is left out.
    has_line: bool
    has_row: bool
    has_value: bool
    has_note: bool
    #: The heading above the notes: what to do, or what is wrong.
    note_label: str
    #: "The first 10 of 1,234 rows."; empty when all are shown.
    more: str


@dataclass(frozen=True, kw_only=True)
class Page:
    """What the template gets to see."""

    title: Markup
    folder: Markup
    #: A name under which the corrected rows may be dropped.
    new_name: Markup
    #: `good`, `some` or `none`: which of the three colours the page speaks in.
    mood: str
    state: str
    sentence: str
    because: Markup
    #: Whether there is anything to count.
    has_rows: bool
    #: (`read`, `accepted` or `rejected`; the number; its label)
    figures: tuple[tuple[str, str, str], ...]
    #: Whether some rows are in the table, which the same name would replace.
    some_accepted: bool
    #: Per cent of the rows that are in the table, rounded so that a few bad rows still show.
    accepted_share: float
    blocks: tuple[Block, ...]
    overview: bool
    unshown_rules: str
    ignored: tuple[Markup, ...]
    ignored_more: str
    notes: tuple[Markup, ...]
    #: Which advice is given: `late` (have it decided), `rows` (mend the rejected rows), `file` (mend it), or none.
    advice: str
    beside: Beside
    original: Markup
    details: tuple[tuple[str, Markup], ...]


def html(report: Report, beside: Beside = Beside()) -> bytes:
    """Return the report as an HTML page in UTF-8.

    Args:
        report: the report.
        beside: which other files lie beside the page, so that it speaks only of what is there.
    """
    return _template().render(page=page(report, beside)).encode("utf-8", "backslashreplace")


def page(report: Report, beside: Beside) -> Page:
    """Return what the template shows: everything escaped and in words."""
    mood, state = _STATES.get(report.state, ("some", str(report.state).capitalize()))
    folder, name = posixpath.split(report.subject.name)
    blocks = tuple(_block(number, problem) for number, problem in enumerate(report.problems[:RULES_IN_FULL], 1))
    ignored, more = report.ignored_columns[:NAMED_COLUMNS], len(report.ignored_columns) - NAMED_COLUMNS
    return Page(
        title=display(name),
        folder=display(folder),
        new_name=display(_new_name(name)),
        mood=mood,
        state=SUPERSEDED.capitalize() if report.superseded_by else state,
        sentence=summary(report),
        because=_sentence_case(report.rejected_because),
        has_rows=report.rows.read > 0,
        figures=_figures(report),
        some_accepted=report.rows.accepted > 0,
        accepted_share=_share(report),
        blocks=blocks,
        overview=len(blocks) >= RULES_FOR_OVERVIEW,
        unshown_rules=_unshown(report),
        ignored=tuple(display(column, TEXT_CHARACTERS) for column in ignored),
        ignored_more=f"and {more:,} more" if more > 0 else "",
        notes=tuple(_sentence_case(note) for note in report.notes),
        advice=_advice(report, beside),
        beside=beside,
        original=display(beside.original, TEXT_CHARACTERS),
        details=tuple(_details(report)),
    )


def display(text: str, limit: int = TEXT_CHARACTERS) -> Markup:
    """Return the text escaped for HTML, at most `limit` characters of it, with what does not show made visible.

    Control characters, direction marks, odd blanks and blanks at either end become small labels, so that
    two values that differ never look alike and no value can change how the page around it reads.
    """
    text = shortened(text, limit)
    if text.isprintable() and text == text.strip(" "):
        return escape(text)
    return _marked(text)


def in_words(seconds: float) -> str:
    """Return an instant as people say it, in UTC: "1 March 2026, 12:00:05 UTC"."""
    when = datetime.fromtimestamp(seconds, UTC)
    return f"{when.day} {when:%B %Y, %H:%M:%S} UTC"


def size_in_words(size: int) -> str:
    """Return bytes as people say them: "640 bytes", "12.3 kB", "1.2 GB"."""
    if size < _KILO:
        return counted(size, "byte")
    scaled, units = size / _KILO, iter(("kB", "MB", "GB"))
    unit = next(units)
    while scaled >= _KILO and (larger := next(units, None)):
        scaled, unit = scaled / _KILO, larger
    return f"{scaled:,.1f} {unit}"


@functools.cache
def _template() -> jinja2.Template:
    """Compile the template, once in a process."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    return environment.get_template("report.html")


def _marked(text: str) -> Markup:
    shown, end = [], 0
    for hidden in _HIDDEN.finditer(text):
        if hidden[0].isprintable() and " " not in hidden[0]:
            continue
        shown.append(escape(text[end : hidden.start()]))
        label = "␣" * len(hidden[0]) if hidden[0].startswith(" ") else printable(hidden[0])
        shown.append(Markup('<span class="hidden">{}</span>').format(label))
        end = hidden.end()
    return Markup("").join([*shown, escape(text[end:])])


def _sentence_case(text: str) -> Markup:
    """Return a sentence with a capital and a full stop."""
    text = shortened(text.strip(), TEXT_CHARACTERS)
    if text and text[0].isalpha():
        text = text[0].upper() + text[1:]
    return display(text if not text or text[-1] in ".?!…" else text + ".")


def _figures(report: Report) -> tuple[tuple[str, str, str], ...]:
    rows = report.rows
    return (
        ("read", f"{rows.read:,}", "rows read"),
        ("accepted", f"{rows.accepted:,}", "in the table"),
        ("rejected", f"{rows.rejected:,}", "set aside"),
    )


def _share(report: Report) -> float:
    if not report.rows.read:
        return 100.0 if report.state is State.INGESTED else 0.0
    share = 100 * report.rows.accepted / report.rows.read
    # One row in a million must still be seen, on either side.
    least = 0.0 if not report.rows.accepted else 1.0
    most = 100.0 if not report.rows.rejected else 99.0
    return round(min(max(share, least), most), 1)


def _block(number: int, problem: Problem) -> Block:
    lines = tuple(_line(problem, sample) for sample in problem.sample if sample.row or sample.line or sample.value)
    expected = shortened(problem.expected, TEXT_CHARACTERS)
    return Block(
        number=number,
        rule=shortened(printable(problem.rule), VALUE_CHARACTERS),
        column=None if problem.column is None else display(problem.column, VALUE_CHARACTERS),
        count="the whole file" if problem.whole_file else counted(problem.count),
        whole_file=problem.whole_file,
        expected=_sentence_case(expected) if problem.whole_file else display(expected),
        hint=_sentence_case(problem.hint),
        lines=lines,
        rows="" if problem.whole_file else f"{problem.count:,}",
        has_line=any(line.line for line in lines),
        has_row=any(line.row for line in lines),
        has_value=any(sample.row is not None or sample.value is not None for sample in problem.sample),
        has_note=any(line.note for line in lines),
        note_label="What to do" if problem.column is not None else "What is wrong",
        more=_more(problem),
    )


def _more(problem: Problem) -> str:
    if not sampled(problem):
        return ""
    first = "The first one" if len(problem.sample) == 1 else f"The first {len(problem.sample)}"
    return f"{first} of {counted(problem.count)}."


def _line(problem: Problem, sample: Sample) -> Line:
    return Line(
        row="" if sample.row is None else f"{sample.row:,}",
        line=f"{sample.line:,}" if sample.line else "",
        value=_value(sample.value),
        note=_sentence_case(_note(problem, sample)),
    )


def _value(value: str | None) -> Markup:
    if value is None:
        return Markup('<span class="nothing">nothing</span>')
    if not value:
        return Markup('<span class="nothing">empty text</span>')
    return Markup("<code>{}</code>").format(display(value, VALUE_CHARACTERS))


def _note(problem: Problem, sample: Sample) -> str:
    """Return what a sample's sentence says beyond what the table shows: its own hint, or what is wrong with it."""
    plain = sentence(sample.row, sample.line, problem.column, sample.value, problem.expected)
    if sample.message.startswith(plain):
        hint = sample.message[len(plain) :].removeprefix("; ")
        return "" if hint == problem.hint else hint
    where = place(sample.row, sample.line, problem.column)
    return sample.message.removeprefix(f"{where}: ")


def _unshown(report: Report) -> str:
    count = len(report.problems) - RULES_IN_FULL
    return f"{counted(count, 'more rule')} in report.json beside this page." if count > 0 else ""


def _advice(report: Report, beside: Beside) -> str:
    if report.superseded_by:
        return ""
    if report.is_only_late or (report.state is State.PARTIAL and beside.rejected):
        return "late" if report.is_only_late else "rows"
    return "file" if report.state in (State.REJECTED, State.FAILED) else ""


def _new_name(name: str) -> str:
    stem, *suffixes = shortened(name, VALUE_CHARACTERS).split(".")
    # Its cells are apart by tabs, as the original's, and the suffix says so when it comes back.
    suffix = "tsv" if "tsv" in (part.lower() for part in suffixes) else "csv"
    return f"{stem or 'rows'}-corrected.{suffix}"


def _details(report: Report) -> Iterator[tuple[str, Markup]]:
    subject = report.subject
    yield from _known(_subject_details(subject))
    yield from _known([("Contract", report.contract), ("Contract digest", report.digest)])
    yield "Started", escape(in_words(report.started_at))
    yield "Finished", escape(in_words(report.finished_at))


def _subject_details(subject: Subject) -> list[tuple[str, str]]:
    return [
        ("Drop", subject.drop_id),
        ("File", subject.name),
        ("Customer", subject.customer),
        ("Feed", subject.feed),
        ("Size", size_in_words(subject.size)),
        ("SHA-256", subject.sha256),
        ("Version", subject.version),
    ]


def _known(details: Iterable[tuple[str, str]]) -> Iterator[tuple[str, Markup]]:
    for label, value in details:
        if value:
            yield label, display(value)
