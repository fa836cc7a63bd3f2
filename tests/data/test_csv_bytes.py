"""Text of any bytes becomes UTF-8, and any bytes again, however it is cut."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from schuss.data.csv_bytes import Utf8Stream, as_utf8, as_written, holds_stand_ins

TEXT = st.lists(
    st.one_of(
        st.binary(max_size=6),
        st.text(st.characters(max_codepoint=0x10FF7F, exclude_categories=("Cs",)), max_size=4).map(
            lambda text: text.encode()
        ),
    )
).map(b"".join)


@given(text=TEXT, sizes=st.lists(st.integers(1, 9), min_size=1))
def test_any_bytes_come_back(text: bytes, sizes: list[int]) -> None:
    whole = as_utf8(text)
    assert as_written(whole) == text
    whole.decode("utf-8")
    stream, found = Utf8Stream(io.BytesIO(text)), []
    while block := stream.read(sizes[len(found) % len(sizes)]):
        assert len(block) <= sizes[len(found) % len(sizes)]
        found.append(block)
    assert b"".join(found) == whole


@given(text=TEXT)
def test_only_what_is_not_utf8_is_stood_in_for(text: bytes) -> None:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        assert holds_stand_ins(as_utf8(text))
    else:
        assert as_utf8(text) == text
