"""Working ahead: the same items in the same order, errors in their place, and no thread left when nobody wants more."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from validators.pipelined import AHEAD, pipelined


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "pipelined"]


def test_items_come_in_their_order_from_another_thread() -> None:
    makers = [threading.current_thread()]

    def made() -> Iterator[int]:
        makers.append(threading.current_thread())
        yield from range(100)

    assert list(pipelined(made())) == list(range(100))
    assert makers[0] is not makers[1]
    assert threads() == []


def test_no_items_are_no_items() -> None:
    assert list(pipelined([])) == []


def test_an_error_comes_where_its_item_would_have_come() -> None:
    def made() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("third")

    items = pipelined(made())
    assert (next(items), next(items)) == (1, 2)
    with pytest.raises(ValueError, match="third"):
        next(items)
    assert threads() == []


def test_so_many_items_are_made_ahead_and_no_more() -> None:
    made: list[int] = []
    went_on = threading.Semaphore(0)

    def making() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            went_on.release()
            yield number

    with closing(pipelined(making())) as items:
        assert next(items) == 0
        for _ in range(AHEAD + 2):  # the one taken, those that wait, and the one for which there is no room
            assert went_on.acquire(timeout=5)
        assert not went_on.acquire(timeout=0.05)
        assert len(made) == AHEAD + 2


def test_what_makes_them_is_closed_in_its_own_thread_when_nobody_wants_more() -> None:
    closed: list[threading.Thread] = []

    def made() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append(threading.current_thread())

    with closing(pipelined(made())) as items:
        next(items)
    assert len(closed) == 1
    assert closed[0] is not threading.current_thread()
    assert threads() == []


def test_an_error_of_the_consumer_ends_the_thread_too() -> None:
    def consume() -> None:
        with closing(pipelined(iter(int, 1))) as items:
            next(items)
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        consume()
    assert threads() == []
