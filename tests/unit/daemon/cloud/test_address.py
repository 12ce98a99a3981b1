"""What a container's URL names, in all the forms that there are."""

from __future__ import annotations

import pytest

from daemon.cloud.address import address, is_url, signature_of

HOST = "https://acme.blob.core.windows.net"
PRIVATE = "https://acme.privatelink.blob.core.windows.net"
STACK = "https://acme.blob.local.azurestack.external"
EMULATED = "http://127.0.0.1:10000/devstoreaccount1"
COMPOSED = "http://azurite:10000/devstoreaccount1"


@pytest.mark.parametrize(
    ("url", "endpoint", "account", "container", "prefix"),
    [
        (f"{HOST}/drops", HOST, "acme", "drops", ""),
        (f"{HOST}/drops/", HOST, "acme", "drops", ""),
        (f"{HOST}/drops/a/b%20c/", HOST, "acme", "drops", "a/b c/"),
        (f"{HOST}/$web", HOST, "acme", "$web", ""),
        (f"{HOST}/drops?sv=1&sig=s%3D", HOST, "acme", "drops", ""),
        (f"{PRIVATE}/d-1", PRIVATE, "acme", "d-1", ""),
        (f"{STACK}/drops", STACK, "acme", "drops", ""),
        (f"{EMULATED}/drops/x", EMULATED, "devstoreaccount1", "drops", "x/"),
        (f"{COMPOSED}/drops", COMPOSED, "devstoreaccount1", "drops", ""),
        ("http://[::1]:10000/other/drops", "http://[::1]:10000/other", "other", "drops", ""),
    ],
)
def test_a_url_names_an_account_a_container_and_a_folder_in_it(
    url: str, endpoint: str, account: str, container: str, prefix: str
) -> None:
    place = address(url)

    assert (place.endpoint, place.account, place.container, place.prefix) == (endpoint, account, container, prefix)
    assert "sig" not in str(place)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://acme.blob.core.windows.net", "'' is no container's name"),
        ("https://acme.blob.core.windows.net/Drops", "'Drops' is no container's name"),
        ("https://acme.blob.core.windows.net/a--b", "'a--b' is no container's name"),
        ("https://acme.blob.core.windows.net/ab", "'ab' is no container's name"),
        ("http://127.0.0.1:10000/devstoreaccount1", "'' is no container's name"),
        ("https:///drops", "this is no URL of a container"),
        ("https://host:99999/drops", "this is no URL"),
        ("https://me:secret@acme.blob.core.windows.net/drops", "has no user and no password"),
        ("https://acme.blob.core.windows.net/drops?x=1", "nothing may stand behind"),
        ("https://acme.blob.core.windows.net/drops#x", "nothing may stand behind"),
        ("https://acme.blob.core.windows.net/drops/../x", "a part . or .."),
    ],
)
def test_what_names_no_container_is_refused_and_no_secret_is_repeated(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace(".", r"\.")) as caught:
        address(url)
    assert "secret" not in str(caught.value)


def test_a_signature_is_told_from_the_rest_of_a_url() -> None:
    assert signature_of("https://a/b?sv=1&sig=x") == "sv=1&sig=x"
    assert signature_of("https://a/b?sv=1") == ""


def test_folders_are_no_urls() -> None:
    assert [is_url(each) for each in ("drops", "/srv/drops", "file:///srv", "HTTPS://a/b")] == [
        False,
        False,
        False,
        True,
    ]
