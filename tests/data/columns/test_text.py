"""Tokens against regular expressions, weights against scikit-learn's tf-idf."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from schuss.data.columns.kind import add_entry_scores
from schuss.data.columns.place import Place
from schuss.data.columns.text import READ_BEYOND, SORTED_TOGETHER, TextColumn
from schuss.data.columns.tokens import pair_hashes, tokenize
from schuss.errors import DataError
from schuss.kernels.plain import AT_ONCE
from schuss.kernels.sorting import GROUP

PLACE = Place("t", 0, "text")
RNG = np.random.default_rng(0)
WORDS = ["win", "£1000", "now!!!", "Call", "me", "LATER", "o'clock", "Grüße", "x_1", "10%", "ok..", "ÉTÉ"]
TEXTS = [" ".join(RNG.choice(WORDS, RNG.integers(1, 12))) for _ in range(300)]


def tokens_of(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]+", text.lower())


def split(texts: list[str]) -> list[list[str]]:
    tokens = tokenize(pa.array(texts, pa.string()))
    words = tokens.texts(np.arange(len(tokens.hashes)))
    ends = np.cumsum(tokens.counts)
    return [words[end - count : end] for end, count in zip(ends, tokens.counts, strict=True)]


# Lower-case letters, since Arrow and Python make some others lower case in different ways (İ, a final Σ).
LETTERS = st.characters(max_codepoint=0x2FFF, categories=["Ll", "Lo", "Po", "Sc"]) | st.sampled_from(" \n_AZ09")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(LETTERS)))
@example(["", " ", "a", "a b", "  a--b  ", "!", "\n"])
@example(["a" * 300, "b", "", "£"])
def test_tokens_as_a_regular_expression(texts: list[str]) -> None:
    assert split(texts) == [tokens_of(text) or [""] for text in texts]


def test_tokens_of_other_scripts() -> None:
    assert split(["日本語 text", "😀😀 ok", "हिन्दी में", "한국어 문장", "東京2020"]) == [
        ["日", "本", "語", "text"],
        ["😀", "😀", "ok"],
        ["हिन्दी", "में"],
        ["한국어", "문장"],
        ["東", "京", "2020"],
    ]


def test_hashes_follow_the_words() -> None:
    tokens = tokenize(pa.array(["a b a b", "b a", ""]))
    words = tokens.texts(np.arange(7))
    assert len(set(zip(words, tokens.hashes.tolist(), strict=True))) == len(set(words)) == 3
    pairs, first = pair_hashes(tokens)
    assert first.tolist() == [0, 1, 2, 4]
    assert pairs[0] == pairs[2] != pairs[1] == pairs[3]


def matrix(column: TextColumn, values: pa.Array) -> scipy.sparse.csr_array:
    counts, indices, numbers = column.entries(column.prepare(values, PLACE), slice(0, len(values)))
    return scipy.sparse.csr_array(
        (numbers.astype(np.float64), indices, np.append(0, np.cumsum(counts))), shape=(len(values), 1 << column.bits)
    )


def test_weights_as_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of the same products with each other are the same rows, whatever the order of the features."""
    monkeypatch.setattr("schuss.data.columns.text.LEAST_BITS", 18)  # so many buckets that no terms share one
    column = TextColumn.fit(pa.array(TEXTS), PLACE, 18, None)
    rows = matrix(column, pa.array(TEXTS))
    oracle = TfidfVectorizer(tokenizer=tokens_of, token_pattern=None, ngram_range=(1, 2), sublinear_tf=True)
    expected = oracle.fit_transform(TEXTS)
    assert column.distinct == len(oracle.vocabulary_)
    assert rows.nnz == expected.nnz
    products = (rows @ rows.T).toarray() / column.terms  # of numbers in single precision
    np.testing.assert_allclose(products, (expected @ expected.T).toarray(), atol=3e-7)
    assert np.sqrt((rows.data**2).mean()) == pytest.approx(1)


def test_terms_that_the_sample_lacks_weigh_little() -> None:
    column = TextColumn.fit(pa.array(TEXTS), PLACE, 18, None)
    both = matrix(column, pa.array(["call me", "call me zebra"])).toarray()
    np.testing.assert_allclose(np.linalg.norm(both, axis=1), column.terms**0.5)
    call, zebra = both[1][both[0] > 0].max(), both[1][both[0] == 0].max()
    assert zebra < call / 1.5


def test_names() -> None:
    column = TextColumn.fit(pa.array(TEXTS), PLACE, 18, None)
    rows = matrix(column, pa.array(["Win £1000"]))
    assert {column.feature(index)[0] for index in rows.indices.tolist()} == {
        "text: 'win'",
        "text: '£'",
        "text: '1000'",
        "text: 'win £'",
        "text: '£ 1000'",
    }
    unknown = matrix(column, pa.array(["zebra"])).indices.tolist()
    assert [column.feature(index) for index in unknown] == [(f"text: bucket {unknown[0]}", "per unit of tf-idf")]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view(), "dictionary"], ids=str)
def test_types_and_missing_texts(kind: pa.DataType | str) -> None:
    plain = pa.array([*TEXTS, None])
    values = plain.dictionary_encode() if kind == "dictionary" else plain.cast(kind)
    column = TextColumn.fit(plain, PLACE, 18, None)
    np.testing.assert_array_equal(matrix(column, values).toarray(), matrix(column, plain).toarray())
    assert matrix(column, values.slice(300)).nnz == 1
    assert column.describe()["missing"] == pytest.approx(1 / 301)


@pytest.mark.parametrize("size", [1, 200, 1 << 18])
def test_scores_are_those_of_the_rows_however_the_texts_are_cut(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("schuss.data.columns.text.SCORED_BYTES", size)
    column, values = TextColumn.fit(pa.array(TEXTS), PLACE, 10, None), pa.array([*TEXTS, None, ""]).slice(3)
    weights = np.random.default_rng(1).normal(size=(1 << column.bits, 2)).astype(np.float32)
    scores = np.ones((len(values), 2))
    column.add_scores(column.to_score(values, PLACE), weights, scores)
    expected = np.ones((len(values), 2))
    add_entry_scores(column.entries(column.prepare(values, PLACE), slice(0, len(values))), weights, expected)
    np.testing.assert_array_equal(scores, expected)


def test_dense_rows_are_the_same() -> None:
    column = TextColumn.fit(pa.array(TEXTS), PLACE, 11, None)
    prepared = column.prepare(pa.array(TEXTS), PLACE)
    out = np.empty((100, 1 << column.bits), np.float32)
    column.write(prepared, slice(50, 150), out)
    np.testing.assert_allclose(out, matrix(column, pa.array(TEXTS)).toarray()[50:150], rtol=1e-6)


def test_buckets_follow_the_vocabulary() -> None:
    assert TextColumn.fit(pa.array(["a b", "b c"] * 20), PLACE, 18, None).bits == 10
    assert TextColumn.fit(pa.array(["a b", "b c"] * 20), PLACE, 9, None).bits == 9
    many = pa.array([f"w{i} v{i}" for i in range(2000)])
    assert TextColumn.fit(many, PLACE, 18, None).bits == 16
    assert TextColumn.fit(many, PLACE, 18, 10**9).bits == 18


def test_text_that_is_not_utf8() -> None:
    bad = pa.array([b"good", b"\xff\xfe"]).view(pa.string())
    column = TextColumn.fit(pa.array(TEXTS), PLACE, 10, None)
    with pytest.raises(DataError, match=r"^t, column 'text': its values are not valid UTF-8 text"):
        column.prepare(bad, PLACE)
    with pytest.raises(DataError, match=r"^t, column 'text': its values are not valid UTF-8 text"):
        column.to_score(bad, PLACE)


def test_kernels_have_the_room_that_they_read_and_sort_in() -> None:
    assert (READ_BEYOND, SORTED_TOGETHER) == (AT_ONCE, GROUP)
