"""What a person is told of a wrong setting: the field, the value, the rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.config import load
from daemon.errors import ConfigError
from daemon.settings import LimitSettings, SourceSettings, WorkerSettings
from daemon.settings.complaints import masked, rule

FEED = '[[feeds]]\nname = "orders"\npaths = ["orders/**"]\ncontract = "orders.py:Orders"\n'
NOTIFY = '[[notify]]\nname = "ops"\non = ["day_held"]\nwebhook = "https://h.example/x"\n'
KNOWN_CODECS = "there is no such encoding; utf-8, utf-16 and windows-1252 are common ones"


def told(folder: Path, text: str) -> str:
    """Return the message without the file's name, which stands at its start."""
    file = folder / "blobdrop.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    message = str(caught.value)
    assert all(line.startswith(f"{file}: ") for line in message.splitlines())
    return message.replace(f"{file}: ", "").replace(str(folder), "DIR")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[source]\nurl = ""', "source.url = '': it must not be empty"),
        ("[source]\nurl = 3", "source.url = 3: expected text in quotes"),
        ('[source]\nuri = "x"', "source.uri: there is no such setting; did you mean url?"),
        ('[sources]\nurl = "x"', "sources: there is no such section; did you mean source?"),
        ("settle_seconds = 3", "settle_seconds: there is no such setting; did you mean settle_seconds in [source]?"),
        ('source = "x"', "source = 'x': expected a table: [source] on a line of its own"),
        ("[source]\nsettle_seconds = -1", "source.settle_seconds = -1: expected a number from 0 to 3,600"),
        ("[source]\npoll_seconds = 0", "source.poll_seconds = 0: expected a number above 0 up to 3,600"),
        ("[source]\npoll_seconds = nan", "source.poll_seconds = nan: expected a number above 0 up to 3,600"),
        ("[source]\npoll_seconds = inf", "source.poll_seconds = inf: expected a number above 0 up to 3,600"),
        (
            '[source]\nafter = "archived"',
            "source.after = 'archived': expected one of keep, archive, delete; did you mean archive?",
        ),
        (
            '[source]\nurl = "https://me:secret@h/c"',
            "source.url = 'https://me:***@h/c': a container's URL has no user and no password",
        ),
        ('[store]\nurl = "a\\u0000b"', "store.url = 'a\\x00b': a path has no NUL character"),
        ("[workers]\nprocesses = 2.5", "workers.processes = 2.5: expected a whole number from 1 to 256"),
        ("[workers]\nprocesses = true", "workers.processes = true: expected a whole number from 1 to 256"),
        ('[workers]\nprocesses = "2"', "workers.processes = '2': expected a whole number from 1 to 256"),
        (FEED + 'max_rejected_ratio = "0.5"', "max_rejected_ratio = '0.5': expected a number from 0 to 1"),
        ('[http]\nallow_remote = "true"', "http.allow_remote = 'true': expected true or false"),
        ("[http]\nallow_remote = 1", "http.allow_remote = 1: expected true or false"),
        ("[workers]\nprocesses = [1]", "workers.processes = [1]: expected a whole number from 1 to 256"),
        ('[logs]\nlevel = "warn"', "expected one of debug, info, warning, error; did you mean warning?"),
        ("feeds = []", "feeds = []: expected at least one feed; leave feeds out for the built-in ones"),
        ('[feeds]\nname = "x"', "feeds: expected a list of tables: [[feeds]] on a line of its own"),
        ("feeds = [3]", "feeds[0] = 3: expected a table: [[feeds]] on a line of its own"),
        (
            FEED + 'timezone = "Mars/Base"',
            "feeds[0] (orders): timezone = 'Mars/Base': there is no such time zone; Etc/GMT+8 and",
        ),
        (FEED + "max_rejected_ratio = 2", "feeds[0] (orders): max_rejected_ratio = 2: expected a number from 0 to 1"),
        (
            FEED + "hold_if = { row_below = 1 }",
            "feeds[0] (orders): hold_if.row_below: there is no such setting; did you",
        ),
        (FEED + "dialect = { delimeter = 1 }", "dialect.delimeter: there is no such setting; did you mean delimiter?"),
        ("[http]\nlisten_on = 1", "http.listen_on: there is no such setting; did you mean listen?"),
        (
            '[http]\nlisten = "0.0.0.0:80"',
            "http: listen = '0.0.0.0:80' can be reached by other machines, and nobody is asked for a password",
        ),
        ("[notify]\nname = 1", "notify: expected a list of tables: [[notify]] on a line of its own"),
        ("[[notifies]]\nname = 1", "notifies: there is no such setting; did you mean notify?"),
        (
            NOTIFY + "windows_seconds = 1",
            "notify[0] (ops): windows_seconds: there is no such setting; did you mean wind",
        ),
        (NOTIFY + "window_seconds = 0", "notify[0] (ops): window_seconds = 0: expected a number from 1 to 86,400"),
        (NOTIFY.replace("day_held", "day_hold"), "notify[0] (ops): on[0] = 'day_hold': expected one of drop_rejected"),
        (NOTIFY.replace('"day_held"', ""), "notify[0] (ops): on = []: expected at least one of drop_rejected,"),
        (NOTIFY.replace("https:", "ftp:"), "webhook = ***: expected a URL such as https://hooks.example.org/blobdrop"),
        (NOTIFY + 'command = ["x"]', "expected one of webhook, webhook_from and command; found webhook and command"),
        (NOTIFY + 'arrive_by = "25:00"', "arrive_by = '25:00': expected a time of day from 00:00 to 23:59"),
        (NOTIFY + 'arrive_by = "09:00"', "nothing_arrived in on and arrive_by go together"),
        (
            NOTIFY + 'feeds = ["metric"]',
            "notify (ops): feeds has 'metric', and no feed is called so; did you",
        ),
        (NOTIFY + NOTIFY, "notify: two of them are called 'ops'; each needs a name of its own"),
        (FEED + "time_zone = 3", "feeds[0] (orders): time_zone: there is no such setting; did you mean timezone?"),
        (FEED + 'key = "a"', 'feeds[0] (orders): key = \'a\': expected a list, such as ["a", "b"]'),
        (FEED + "row_wise = [true]", "feeds[0] (orders): row_wise[0] = true: expected text in quotes"),
        (FEED + "options = 3", "feeds[0] (orders): options = 3: expected a table, such as { a = 1 }"),
        (FEED + 'revision = "x"', "feeds[0] (orders): revision = 'x': expected one of replace, append, reject"),
        (FEED + FEED, "feeds: two feeds are called 'orders'; each needs a name of its own"),
        (FEED + FEED.replace("orders", "ORDERS"), "feeds: two feeds are called 'orders'"),
        (FEED.replace('["orders/**"]', "[]"), 'paths = []: expected at least one pattern, such as "orders/**"'),
        (FEED.replace('name = "orders"', ""), "feeds[0]: name: this setting is needed: the feed's name"),
        (FEED.replace('"orders"', '"../x"'), "name = '../x': expected 1 to 64 letters, digits, '.', '_' or '-'"),
        (
            FEED + 'dialect = "aut"',
            'feeds[0] (orders): dialect = \'aut\': expected "auto", or a table such as { delimiter = ";" }',
        ),
        (
            FEED + 'dialect = { delimiter = "::" }',
            "dialect.delimiter = '::': expected one ASCII character such as , or ;",
        ),
        (FEED + 'dialect = { delimitr = ";" }', "dialect.delimitr: there is no such setting; did you mean delimiter?"),
        (FEED + "dialect = { header = 'maybe' }", "dialect.header = 'maybe': expected true or false"),
        (FEED + "dialect = { header = false }", "dialect: header = false needs columns"),
        (FEED + "dialect = { columns = ['a'] }", "dialect: columns are only for files without a header"),
        (FEED + "dialect = { header = false, columns = ['a', 'b', 'a'] }", "dialect: columns has 'a' twice"),
        (FEED + "dialect = { quote = ',' }", "dialect: delimiter and quote must be different characters"),
        (FEED + "dialect = { quote = \"''\" }", "dialect.quote = \"''\": expected one ASCII character"),
        (FEED + "dialect = { encoding = 'base64' }", f"dialect.encoding = 'base64': {KNOWN_CODECS}"),
        (FEED + "dialect = { encoding = 'klingon' }", f"dialect.encoding = 'klingon': {KNOWN_CODECS}"),
        (
            '[source]\nurl = "in"\n[quarantine]\nurl = "in/aside"',
            "quarantine.url = 'DIR/in/aside' lies in the drop folder, source.url = 'DIR/in'",
        ),
        ('[store]\nurl = "x"\n[quarantine]\nurl = "x"', "store.url and quarantine.url are both 'DIR/x'"),
    ],
)
def test_a_wrong_setting_is_told_in_plain_words(tmp_path: Path, text: str, says: str) -> None:
    message = told(tmp_path, text)

    assert message.startswith(says) or says in message
    assert len(message.splitlines()) == 1
    for noise in ("Input should", "literal[", "DialectSettings", "Value error", "tuple", "secret"):
        assert noise not in message


@pytest.mark.parametrize(
    "url", ["postgresql://me:secret@host/db", "sqlite:///", "sqlite://", "sqlite:///:memory:", "var/ledger.db"]
)
def test_a_ledger_that_is_no_file_is_refused_without_its_password(tmp_path: Path, url: str) -> None:
    message = told(tmp_path, f'[ledger]\nurl = "{url}"')

    assert "expected an SQLite file such as sqlite:///var/ledger.db" in message
    assert "secret" not in message


def test_a_folder_below_the_drops_is_fine_where_no_listing_comes_to_it(tmp_path: Path) -> None:
    file = tmp_path / "blobdrop.toml"
    file.write_text('[source]\nurl = "in"\n[store]\nurl = "in/_tables"\n[quarantine]\nurl = "in/.aside"\n')

    assert load(file, {}).settings.store.url.endswith("in/_tables")


def test_a_long_value_is_cut(tmp_path: Path) -> None:
    message = told(tmp_path, f'[source]\nafter = "{"x" * 5000}"')

    assert len(message) < 300
    assert "…" in message


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me:secret@host/db", "postgresql://me:***@host/db"),
        (
            "https://a.blob.core.windows.net/c?sv=1&sig=secret%3D&se=2",
            "https://a.blob.core.windows.net/c?sv=1&sig=***&se=2",
        ),
        ("https://a.blob.core.windows.net/c?sv=1&SIG=secret'", "https://a.blob.core.windows.net/c?sv=1&SIG=***'"),
        (
            "AccountName=a;AccountKey=c2VjcmV0==;BlobEndpoint=http://a",
            "AccountName=a;AccountKey=***;BlobEndpoint=http://a",
        ),
        (
            "BlobEndpoint=http://a;SharedAccessSignature=sig=secret&sv=1;",
            "BlobEndpoint=http://a;SharedAccessSignature=sig=***&sv=1;",
        ),
        ("sqlite:///var/ledger.db", "sqlite:///var/ledger.db"),
        ("/srv/a:b@c", "/srv/a:b@c"),
    ],
)
def test_passwords_and_signatures_of_urls_are_hidden(text: str, shown: str) -> None:
    assert masked(text) == shown


def test_the_bounds_of_a_number_are_told_in_words() -> None:
    assert rule(WorkerSettings.model_fields["processes"]) == "a whole number from 1 to 256"
    assert rule(LimitSettings.model_fields["max_line_mb"]) == "a number above 0 up to 1,024"
    assert rule(SourceSettings.model_fields["url"]) == ""


def test_a_value_that_may_be_a_secret_is_not_shown(tmp_path: Path) -> None:
    message = told(tmp_path, NOTIFY.replace("https://h.example/x", "h.example/t0k3n") + "secret = [7734]")
    assert "webhook = ***: expected a URL" in message
    assert "secret = ***: expected text in quotes" in message
    assert "t0k3n" not in message
    assert "7734" not in message


def test_a_setting_that_names_a_secret_has_a_variables_name(tmp_path: Path) -> None:
    said = "expected the name of a variable such as NOTIFY_SECRET; those with BLOBDROP_ are settings"
    assert said in told(tmp_path, NOTIFY + 'secret_from = "BLOBDROP_X"')
