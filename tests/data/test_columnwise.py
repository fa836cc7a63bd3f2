"""Columns looked at in several threads."""

from __future__ import annotations

import threading

import pyarrow as pa
import pytest

from schuss.data import columnwise as module
from schuss.data.columnwise import columnwise

COLUMNS = [pa.array(["a" * length]) for length in (1, 300, 20, 4)]


@pytest.fixture
def _two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MANY_BYTES", 0)
    monkeypatch.setattr(module, "LARGE_BYTES", 0)
    monkeypatch.setattr(pa, "cpu_count", lambda: 2)


@pytest.mark.usefixtures("_two_threads")
def test_columns_are_looked_at_side_by_side_and_told_of_in_their_order() -> None:
    together = threading.Barrier(2, timeout=30)

    def look(place: int) -> int:
        if place in (1, 2):  # the largest two, which are begun first
            together.wait()
        return 10 * place

    assert columnwise(look, COLUMNS) == [0, 10, 20, 30]


@pytest.mark.usefixtures("_two_threads")
def test_the_first_column_that_cannot_be_used_is_complained_of() -> None:
    def look(place: int) -> None:
        if place in (1, 3):
            raise ValueError(place)

    with pytest.raises(ValueError, match="1"):
        columnwise(look, COLUMNS)


@pytest.mark.parametrize("most", ["MANY_BYTES", "LARGE_BYTES"])
def test_small_columns_are_looked_at_in_this_thread(most: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are small together, and those that are small each."""
    for name in ("MANY_BYTES", "LARGE_BYTES"):
        monkeypatch.setattr(module, name, 1 << 14 if name == most else 0)
    monkeypatch.setattr(pa, "cpu_count", lambda: 2)
    assert set(columnwise(lambda place: threading.current_thread(), COLUMNS)) == {threading.current_thread()}
