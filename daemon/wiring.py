"""What the settings name: source, store and quarantine, in folders or in containers.

Nobody else names concrete ones. What imports Azure's SDK, a fifth of a second, waits until a container is named.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from pathlib import Path

from daemon.cabinets import Cabinet
from daemon.cabinets.folder import FolderCabinet
from daemon.cloud.address import Address, address, inside, is_az
from daemon.cloud.credentials import credential, endpoint_of
from daemon.config import Settings
from daemon.errors import ConfigError
from daemon.feeds import Feeds
from daemon.places import Place
from daemon.places.folder import FolderPlace
from daemon.quarantine import Quarantine
from daemon.sources import Archiving
from daemon.sources.folder import FolderSource
from daemon.stores import Store
from daemon.stores.delta import DeltaStore

Environ = Mapping[str, str]


def source_of(settings: Settings, environ: Environ = os.environ) -> Archiving:
    """Return the source that `source.url` names; a container's key comes from the environment.

    Raises:
        ConfigError: a key in the environment is of no use, or a feed's pattern cannot be understood.
    """
    if settings.source.is_container:
        is_signal = Feeds([feed.feed(Path()) for feed in settings.feeds]).is_signal
        module = importlib.import_module("daemon.sources.azure")
        source: Archiving = module.azure_source(settings.source, environ, is_signal=is_signal)
        return source
    return FolderSource(folder(settings.source.url, "source.url"), settle_seconds=settings.source.settle_seconds)


def drops_of(settings: Settings) -> str:
    """Say where drops land, without any key: a folder's path, or a container's URL."""
    url = settings.source.url
    return str(address(url)) if settings.source.is_container else str(folder(url, "source.url"))


def store_of(settings: Settings, identity: str, environ: Environ = os.environ) -> Store:
    """Return the store that `store.url` names, which writes as the ledger `identity`.

    Raises:
        ConfigError: it is in a container, and nothing says of which account, or a key is of no use.
    """
    return DeltaStore(place_of(settings.store.url, "store.url", settings, environ), app=identity)


def quarantine_of(settings: Settings, environ: Environ = os.environ) -> Quarantine:
    """Return the quarantine that `quarantine.url` names.

    Raises:
        ConfigError: it is in a container, and nothing says of which account, or a key is of no use.
    """
    place = place_of(settings.quarantine.url, "quarantine.url", settings, environ)
    if isinstance(place, FolderPlace):
        return Quarantine(FolderCabinet(place.root))
    cabinet: Cabinet = importlib.import_module("daemon.cabinets.container").ContainerCabinet(place)
    return Quarantine(cabinet)


def tables_of(settings: Settings, environ: Environ = os.environ) -> str:
    """Say where the tables are, without any key.

    Raises:
        ConfigError: as of `store_of`.
    """
    return place_of(settings.store.url, "store.url", settings, environ).url


def folder(url: str, field: str) -> Path:
    """Return the folder that a setting names.

    Raises:
        ConfigError: it names something else.
    """
    if "://" in url and not url.startswith("file://"):
        raise ConfigError(f"{field} = {url!r}: only folders are supported; give a path such as ./drops")
    return Path(url.removeprefix("file://")).expanduser().absolute()


def place_of(url: str, field: str, settings: Settings, environ: Environ = os.environ) -> Place:
    """Return the folder that a setting names, or the place in a container of the account that the source is in.

    Raises:
        ConfigError: nothing says of which account, or a key is of no use.
    """
    if not is_az(url):
        return FolderPlace(folder(url, field))
    account = _account(settings, field, environ)
    at, source = inside(url, account), settings.source
    place: Place = importlib.import_module("daemon.places.container").container_place(
        at, credential(source.url, account, environ), source
    )
    return place


def _account(settings: Settings, field: str, environ: Environ) -> Address:
    """Return a place in the storage account that everything in containers is in: the source's, if it is in one."""
    if settings.source.is_container:
        return address(settings.source.url)
    endpoint = endpoint_of(environ)
    if not endpoint:
        raise ConfigError(
            f"{field} names a container, and nothing says of which storage account: source.url is a folder, and there "
            "is no AZURE_STORAGE_CONNECTION_STRING with a BlobEndpoint or an AccountName in the environment or in "
            "$CREDENTIALS_DIRECTORY. Set it"
        )
    return address(f"{endpoint}/any")
