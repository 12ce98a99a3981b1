"""`blobdrop check`: the daemon's own report on a file, wherever it lies, and nothing changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from daemon.commands import checking
from daemon.errors import ContractError, NotFoundError
from tests.unit.daemon.commands.conftest import Place
from tests.unit.daemon.conftest import dirty, good


def check(place: Place, file: Path, **options: Any) -> tuple[int, Any]:
    values = {"feed": None, "customer": None, "json": True, "config": place.config, **options}
    code = checking.check(file, **values)
    return code, place.json() if values["json"] else place.out()


def test_a_good_file_is_0_and_one_with_problems_1(place: Place) -> None:
    code, report = check(place, place.file("drops/metrics/a.csv", good(3)))
    assert (code, report["state"], report["rows"]["accepted"]) == (0, "ingested", 3)
    code, report = check(place, place.file("drops/acme/metrics/b.csv", dirty()))
    assert (code, report["state"], report["customer"]) == (1, "partial", "acme")
    code, said = check(place, place.file("drops/metrics/c.csv", b""), json=False)
    assert code == 1
    assert "The whole file would be set aside" in said


def test_nothing_is_changed(place: Place) -> None:
    file = place.file("drops/metrics/a.csv", dirty())
    before = sorted(place.folder.rglob("*"))
    check(place, file)
    assert sorted(place.folder.rglob("*")) == before
    assert file.read_bytes() == dirty()


def test_a_file_elsewhere_finds_its_feed_by_the_end_of_its_path_or_by_being_the_only_one(place: Place) -> None:
    report = check(place, place.file("desk/acme/metrics/a.csv", good(1)))[1]
    assert (report["feed"], report["customer"]) == ("metrics", "default"), "the shortest end of the path that fits"
    code, report = check(place, place.file("desk/any.csv", good(1)))
    assert (code, report["feed"], report["customer"]) == (0, "metrics", "default")
    assert check(place, place.file("desk/any.csv", good(1)), customer="zoe")[1]["customer"] == "zoe"


def test_a_signal_is_judged_as_one(place: Place) -> None:
    for folder in ("acme/signals", "acme/metrics/signals"):
        code, report = check(place, place.file(f"drops/{folder}/s.csv", b"finished_date\n2026-03-01\n"))
        assert (code, report["feed"], report["rows"]["accepted"]) == (0, "signals", 1)
    code, report = check(place, place.file("drops/signals/s.csv", b"finished_date\n2026-03-01\nsoon\n"))
    assert (code, report["state"]) == (1, "rejected")


def test_a_feed_that_is_not_there_is_told_with_what_was_meant(place: Place) -> None:
    with pytest.raises(NotFoundError, match=r"there is no feed 'metric'; did you mean 'metrics'\?"):
        check(place, place.file("a.csv", good(1)), feed="metric")


def test_several_feeds_and_no_pattern_that_fits_want_a_name(place: Place) -> None:
    text = place.config.read_text()
    place.config.write_text(f'{text}\n[[feeds]]\nname = "other"\npaths = ["other/**"]\ncontract = "none:at_all"\n')
    file = place.file("a.csv", good(1))
    with pytest.raises(NotFoundError, match="name the feed with --feed: metrics, other"):
        check(place, file)
    assert check(place, file, feed="metrics")[0] == 0
    with pytest.raises(ContractError, match="feed 'other': "):
        check(place, file, feed="other")


@pytest.mark.parametrize(("name", "why"), [("gone.csv", "there is no such file"), ("drops", "this is a folder")])
def test_what_is_no_file_is_refused(place: Place, name: str, why: str) -> None:
    (place.folder / "drops").mkdir()
    with pytest.raises(NotFoundError, match=why):
        check(place, place.folder / name)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("drops/metrics/a.csv.tmp", "names like this one are taken for temporary files"),
        ("drops/elsewhere/a.csv", "no feed has a pattern for its name"),
    ],
)
def test_it_says_where_the_daemon_would_never_come_to_judge_a_file(
    place: Place, capsys: pytest.CaptureFixture[str], name: str, why: str
) -> None:
    checking.check(place.file(name, good(1)), feed=None, customer=None, json=False, config=place.config)
    assert why in capsys.readouterr().err
