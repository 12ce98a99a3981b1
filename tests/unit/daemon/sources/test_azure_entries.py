"""Pages of a container's listing become blobs; entries that come again are not read again, and never mistaken."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from daemon.sources.azure_entries import Blob, Recalled, blobs


def entry(name: str, etag: str = "0x1", *, more: str = "", attribute: str = "") -> str:
    return (
        f"<Blob><Name{attribute}>{name}</Name><Properties>{more}<Content-Length>7</Content-Length>"
        f"<Last-Modified>Sun, 01 Mar 2026 00:00:10 GMT</Last-Modified><Etag>{etag}</Etag></Properties></Blob>"
    )


def page(*entries: str, before: str = "", after: str = "") -> bytes:
    text = f"<?xml version='1.0'?><EnumerationResults><Blobs>{before}{''.join(entries)}{after}</Blobs><NextMarker />"
    return f"\ufeff{text}</EnumerationResults>\n".encode()


def listed(recalled: Recalled, *pages: bytes) -> list[Blob]:
    recalled.begin()
    found = [blob for each in pages for blob in recalled.blobs(each)]
    recalled.end()
    return found


@pytest.mark.parametrize(
    "text",
    [
        page(),
        page(entry("in/a.csv"), entry("in/b.csv", "&quot;0x2&quot;")),
        page(entry("in/&lt;Blob&gt;&lt;/Blob&gt;.csv"), entry("in/&amp;.csv")),
        page(entry("in/a%FFb", attribute=' Encoded="true"')),
        page(entry("in/a.csv"), before="<BlobPrefix><Name>in/x/</Name></BlobPrefix>"),
        page(entry("in/a.csv"), after="<BlobPrefix><Name>in/x/</Name></BlobPrefix>"),
        page(entry("in/a.csv", more="<AccessTier>Archive</AccessTier><CopyStatus>pending</CopyStatus>")),
        page(entry("in/a.csv").replace("<Blob>", "<Blob >")),
        b"<EnumerationResults/>",
    ],
)
def test_what_is_recalled_is_what_the_whole_page_says(text: bytes) -> None:
    recalled = Recalled(3)
    wanted = list(blobs(text, 3))

    assert [listed(recalled, text) for _ in range(3)] == [wanted] * 3


def test_an_entry_that_comes_again_is_not_read_again() -> None:
    recalled = Recalled(0)
    first = listed(recalled, page(entry("a"), entry("b")), page(entry("c")))
    again = listed(recalled, page(entry("b")), page(entry("a"), entry("c")))

    assert {blob.name: id(blob) for blob in first} == {blob.name: id(blob) for blob in again}


def test_an_entry_that_has_changed_is_read_as_it_is_now() -> None:
    recalled = Recalled(0)
    listed(recalled, page(entry("a", "0x1"), entry("b", "0x1")))

    assert [blob.etag for blob in listed(recalled, page(entry("a", "0x2"), entry("b", "0x1")))] == ["0x2", "0x1"]


def test_what_a_listing_has_not_shown_is_forgotten() -> None:
    recalled = Recalled(0)
    (old,) = listed(recalled, page(entry("a")))
    listed(recalled, page())
    (new,) = listed(recalled, page(entry("a")))

    assert new == old
    assert new is not old


def test_a_listing_that_breaks_off_changes_nothing() -> None:
    recalled = Recalled(0)
    (old,) = listed(recalled, page(entry("a")))
    recalled.begin()
    next(recalled.blobs(page(entry("b"))))

    assert listed(recalled, page(entry("a")))[0] is old


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<html>sign in",
        page(entry("a"))[:-30],
        page(entry("a"))[: page(entry("a")).index(b"</Name>")],
        page(entry("a"), entry("b").replace("<Etag>", "<Etag")),
    ],
)
def test_what_is_no_whole_xml_is_an_error(text: bytes) -> None:
    recalled = Recalled(0)
    recalled.begin()

    with pytest.raises(ET.ParseError):
        list(recalled.blobs(text))
