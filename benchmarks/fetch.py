"""Where the benchmarks' data come from: list the sets, check a folder that holds them, or download what it lacks.

    python benchmarks/fetch.py                    list every set: its page, its terms, its files
    python benchmarks/fetch.py --check FOLDER     say what is missing or differs
    python benchmarks/fetch.py FOLDER             download what is missing, then check

The benchmarks find the folder through the environment variable SCHUSS_DATA. Sizes and SHA-256 sums are those of a
file's contents, for .gz after unpacking, because copies of the same data differ in how they were compressed.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import sys
import textwrap
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class File(NamedTuple):
    """One file: its place in the folder, its contents' size and sum, and how to make it from what the URL gives."""

    path: str
    size: int
    sha256: str
    url: str | None = None  # None: made by hand, as the set's note says
    member: str = ""  # the file to take out, when the URL gives a zip archive
    edit: Callable[[bytes], bytes] | None = None


class DataSet(NamedTuple):
    """Some files that belong together."""

    name: str
    page: str
    terms: str
    files: tuple[File, ...]
    note: str = ""


def without_first_line(contents: bytes) -> bytes:
    """Drop the first line."""
    return contents.partition(b"\n")[2]


def with_sms_header(contents: bytes) -> bytes:
    """Put a line of column names before the messages."""
    return b"Label\tSMS\n" + contents


ADULT = "https://archive.ics.uci.edu/static/public/2/adult.zip"
LIBSVM = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/binary/"
FASHION = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"
KDDCUP = "http://kdd.ics.uci.edu/databases/kddcup99/"
SMS = "https://archive.ics.uci.edu/static/public/228/sms+spam+collection.zip"

SETS = (
    DataSet(
        name="adult",
        page="https://archive.ics.uci.edu/dataset/2/adult",
        terms="CC BY 4.0",
        note="adult.test begins with a line that is no row; it is left out.",
        files=(
            File(
                path="adult/adult-train.csv",
                size=3_974_305,
                sha256="5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d",
                url=ADULT,
                member="adult.data",
            ),
            File(
                path="adult/adult-test.csv",
                size=2_003_132,
                sha256="72567b94f5c1a6f8501377dd80f93892c3848ff071cf91ba47e00b0785a28074",
                url=ADULT,
                member="adult.test",
                edit=without_first_line,
            ),
            File(
                path="adult/adult.names",
                size=5_229,
                sha256="c248284c0b5de30c9e1958d6cdd168a34a654758b620e68f46aefa83fc0a576a",
                url=ADULT,
                member="adult.names",
            ),
        ),
    ),
    DataSet(
        name="a9a",
        page="https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/binary.html#a9a",
        terms="CC BY 4.0 (made from adult)",
        files=(
            File(
                path="a9a/a9a",
                size=2_329_875,
                sha256="f5d5ffd8d865ff41328e7ee043e4b020816914ff6843ff15b98905ddbedce906",
                url=LIBSVM + "a9a",
            ),
            File(
                path="a9a/a9a.t",
                size=1_164_634,
                sha256="7d8c09f1120d9ff231d85caba98956906033f3c4d53e2b15ab7ef83710de6a76",
                url=LIBSVM + "a9a.t",
            ),
        ),
    ),
    DataSet(
        name="fashion_mnist",
        page="https://github.com/zalandoresearch/fashion-mnist",
        terms="MIT",
        files=(
            File(
                path="fashion_mnist/train-images-idx3-ubyte.gz",
                size=47_040_016,
                sha256="c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                url=FASHION + "train-images-idx3-ubyte.gz",
            ),
            File(
                path="fashion_mnist/train-labels-idx1-ubyte.gz",
                size=60_008,
                sha256="bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                url=FASHION + "train-labels-idx1-ubyte.gz",
            ),
            File(
                path="fashion_mnist/t10k-images-idx3-ubyte.gz",
                size=7_840_016,
                sha256="5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                url=FASHION + "t10k-images-idx3-ubyte.gz",
            ),
            File(
                path="fashion_mnist/t10k-labels-idx1-ubyte.gz",
                size=10_008,
                sha256="0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
                url=FASHION + "t10k-labels-idx1-ubyte.gz",
            ),
        ),
    ),
    DataSet(
        name="kddcup99",
        page="http://kdd.ics.uci.edu/databases/kddcup99/kddcup99.html",
        terms="UCI KDD archive",
        files=(
            File(
                path="kddcup99/kddcup.data_10_percent.gz",
                size=74_889_749,
                sha256="f8c8267ebcd9c0ed1fd7d6277fe5bfff8732e9b7db8e61b873542b2a534b6f9a",
                url=KDDCUP + "kddcup.data_10_percent.gz",
            ),
            File(
                path="kddcup99/corrected.gz",
                size=47_251_540,
                sha256="547dfb9c0f0dc1d9944219ec79e851191faebaeb8acbfa1cd171c418397052a4",
                url=KDDCUP + "corrected.gz",
            ),
        ),
    ),
    DataSet(
        name="nycflights13",
        page="https://github.com/tidyverse/nycflights13",
        terms="CC0",
        note="Made by hand: the table `flights` of the R package's version 0.1, 336,776 rows, as a CSV file with the "
        "header year,month,day,dep_time,dep_delay,arr_time,arr_delay,carrier,tailnum,flight,origin,dest,air_time,"
        "distance,hour,minute (the hour and the minute are those of dep_time), no quotes, nothing for a missing value "
        "and '.0' after numbers that R keeps as doubles. Later versions have more columns, and the hour and the minute "
        "of the timetable. A file that is written otherwise fails the check and yet serves.",
        files=(
            File(
                path="nycflights13/flights.csv.gz",
                size=24_627_002,
                sha256="afd17a9c934e4b5f719851068748f34c34aaf8d00d03382a0bc6f0b87d37e431",
            ),
        ),
    ),
    DataSet(
        name="sms_spam",
        page="https://archive.ics.uci.edu/dataset/228/sms+spam+collection",
        terms="CC BY 4.0",
        note="The original has no header; one is added.",
        files=(
            File(
                path="sms_spam/SMSSpamCollection",
                size=477_917,
                sha256="fae7ea7d915ef73903e5c2f46ffa2f4a39909a574e20fda4f2b81f7cb1e15e1f",
                url=SMS,
                member="SMSSpamCollection",
                edit=with_sms_header,
            ),
        ),
    ),
)


def fault_of(file: File, folder: Path) -> str:
    """Say what is wrong with a file of the folder, or nothing."""
    path = folder / file.path
    if not path.is_file():
        return f"{file.path}: missing"
    try:
        contents = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, OSError) as error:
        return f"{file.path}: damaged ({error})"
    if len(contents) != file.size:
        return f"{file.path}: holds {len(contents):,} bytes, expected {file.size:,}"
    found = hashlib.sha256(contents).hexdigest()
    if found != file.sha256:
        return f"{file.path}: SHA-256 {found}, expected {file.sha256}"
    return ""


def download(url: str) -> bytes:
    """Give what a URL holds."""
    request = urllib.request.Request(url, headers={"User-Agent": "schuss-benchmarks"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def fetch(dataset: DataSet, folder: Path) -> None:
    """Download the files of a set that the folder lacks, each URL once; files that are there are left alone."""
    answers: dict[str, bytes] = {}
    for file in dataset.files:
        path = folder / file.path
        if path.exists() or file.url is None:
            continue
        print(f"{file.path} from {file.url}", file=sys.stderr)
        if file.url not in answers:
            answers[file.url] = download(file.url)
        contents = answers[file.url]
        if file.member:
            contents = zipfile.ZipFile(io.BytesIO(contents)).read(file.member)
        if file.edit:
            contents = file.edit(contents)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents)


def describe(dataset: DataSet) -> str:
    """Say in some lines where a set comes from and what its files are."""
    lines = [f"{dataset.name}: {dataset.page} ({dataset.terms})"]
    lines += textwrap.wrap(dataset.note, 110, initial_indent="  ", subsequent_indent="  ", break_long_words=False)
    for file in dataset.files:
        origin = f"{file.url}{f' [{file.member}]' if file.member else ''}" if file.url else "by hand"
        lines.append(f"  {file.path}  {file.size:,} bytes  sha256 {file.sha256}\n    {origin}")
    return "\n".join(lines)


def main() -> int:
    """List, download or check; give 1 when a file is missing or differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="the folder of the data sets")
    parser.add_argument("--check", action="store_true", help="download nothing")
    parser.add_argument("--only", metavar="NAME", choices=[dataset.name for dataset in SETS], help="one set")
    arguments = parser.parse_args()
    chosen = [dataset for dataset in SETS if arguments.only in (None, dataset.name)]
    if arguments.folder is None:
        print("\n\n".join(describe(dataset) for dataset in chosen))
        return 0
    faults = []
    for dataset in chosen:
        if not arguments.check:
            try:
                fetch(dataset, arguments.folder)
            except (urllib.error.URLError, zipfile.BadZipFile, KeyError, TimeoutError) as error:
                print(f"{dataset.name}: the download failed: {error}", file=sys.stderr)
        wrong = [fault for file in dataset.files if (fault := fault_of(file, arguments.folder))]
        faults += wrong
        print("\n".join(wrong) if wrong else f"{dataset.name}: complete")
        if wrong:
            print(describe(dataset))
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
