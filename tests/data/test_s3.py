"""Objects in a bucket: found by address and glob, read as files are, and what is said where they cannot be."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.data.s3_stub import serving

from schuss import train
from schuss.data.open import open_source
from schuss.errors import DataError

ROWS = pa.table({"x": [float(i % 7) for i in range(400)], "y": [i % 7 / 2 for i in range(400)]})
PARTS = {f"bucket/days/part-{i}.parquet": ROWS.slice(100 * i, 100) for i in range(4)}


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=50)
    return sink.getvalue()


@pytest.fixture
def objects() -> dict[str, bytes]:
    return {name: parquet(table) for name, table in PARTS.items()}


@pytest.fixture
def query(objects: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    settings = {"ACCESS_KEY_ID": "right", "SECRET_ACCESS_KEY": "secret", "EC2_METADATA_DISABLED": "true"}
    for name, value in settings.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    with serving(objects, "right") as address:
        yield f"?endpoint_override={address}&scheme=http&region=eu-west-1"


@pytest.mark.parametrize("place", ["s3://bucket/days/part-*.parquet", "s3://bucket/days/part-?.parquet"])
def test_a_glob_in_a_bucket_with_what_the_filesystem_is_told(query: str, place: str) -> None:
    source = open_source(place + query)
    assert pa.Table.from_batches([batch.table for batch in source.batches()], source.schema).equals(ROWS)


@pytest.mark.parametrize("how", [{}, {"workers": 2, "cluster": "here"}])
def test_training_from_a_bucket(query: str, how: dict[str, object]) -> None:
    result = train("s3://bucket/days/part-*.parquet" + query, "y", runs=2, epochs=2, **how)
    assert result.summary["rows"] == len(ROWS)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("s3://bucket/days/part-9.parquet", "part-9.parquet.* does not exist"),
        ("s3://bucket/days/other-*.parquet", "no file matches s3://bucket/days/other"),
        ("s3://nowhere/part-*.parquet", "s3://nowhere/part.* does not exist"),
        ("s3://key:secret@bucket/days/part-0.parquet", "an address must hold no keys.*environment"),
    ],
)
def test_what_is_not_there(query: str, place: str, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        open_source(place + query)
    assert "secret" not in str(caught.value)


def test_keys_that_are_wrong(query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "wrong")
    with pytest.raises(DataError, match=r"cannot be read: .* ACCESS_DENIED"):
        open_source("s3://bucket/days/part-0.parquet" + query)


def test_an_object_that_disappears(query: str, objects: dict[str, bytes]) -> None:
    source = open_source("s3://bucket/days/part-*.parquet" + query)
    del objects["bucket/days/part-2.parquet"]
    with pytest.raises(DataError, match=r"part-2\.parquet"):
        list(source.batches())


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("https://example.org/rows.csv", r"begin with s3://.* or file://; .* curl -L ADDRESS \| schuss train - …"),
        ("nowhere://rows.csv", r"addresses begin with s3://, gs://, abfs://, hdfs:// or file://$"),
    ],
)
def test_addresses_of_other_kinds(place: str, said: str) -> None:
    with pytest.raises(DataError, match=f"{place} cannot be read: .*{said}"):
        open_source(place)


@pytest.mark.parametrize(
    ("address", "asked"),
    [
        ("gs://bucket/rows.csv", "gs://bucket/rows.csv?retry_limit_seconds=30"),
        ("gs://bucket/rows.csv?scheme=http", "gs://bucket/rows.csv?scheme=http&retry_limit_seconds=30"),
        ("gs://bucket/rows.csv?retry_limit_seconds=2", "gs://bucket/rows.csv?retry_limit_seconds=2"),
    ],
)
def test_storage_of_google_gives_up_in_time(address: str, asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    addresses: list[str] = []

    class Storage:
        @staticmethod
        def from_uri(uri: str) -> object:
            addresses.append(uri)
            raise OSError("Could not create a OAuth2 access token. error_info={reason=, domain=}")

    monkeypatch.setattr("schuss.data.files.fs.FileSystem", Storage)
    with pytest.raises(DataError, match=r"cannot be read: Could not create a OAuth2 access token\.$"):
        open_source(address)
    assert addresses == [asked]
