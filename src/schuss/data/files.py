"""Which files a place stands for, what they hold, and their bytes (decompressed), on any filesystem pyarrow knows."""

from __future__ import annotations

import contextlib
import fnmatch
import glob
import hashlib
import os
import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePath, PurePosixPath
from typing import NamedTuple

import pyarrow as pa
from pyarrow import fs

from schuss.errors import DataError
from schuss.files import nearest

FORMATS = ("csv", "tsv", "parquet", "arrow", "jsonl", "svmlight", "npz")

# Extensions that leave no doubt; anything else (.txt, .data, .t, none) is decided by its first bytes.
_EXTENSIONS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".json": "jsonl",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".svm": "svmlight",
    ".svmlight": "svmlight",
    ".libsvm": "svmlight",
    ".npz": "npz",
}
_UNCERTAIN = {".txt", ".data", ".dat", ".t", ""}
_COMPRESSED = {".gz", ".zst", ".bz2"}
_MAGIC = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"BZh", "bz2"))
_SVMLIGHT_LINE = re.compile(rb"[+-]?[\d.][\d.eE+-]*(\s+qid:\d+)?(\s+\d+:[^\s:]+)*\s*(#.*)?")
SNIFFED_BYTES = 1 << 16
_READ_BYTES = 1 << 20
# What is hashed to notice that a file was changed: so many blocks of all files together.
LOOKS, LOOK_BYTES = 256, 1 << 16
_PATIENCE = 30
# Lines are parsed as a whole; what unpacks to one without end must not fill the memory.
LONGEST_LINE = 64 << 20
# Blocks of text are twice as long from so many columns on, three times from twice as many, up to so many times.
_MANY_COLUMNS, _LONGER_AT_MOST = 1000, 8


class File(NamedTuple):
    """One file: where it lies, the name that messages call it by, and what a later look can compare."""

    filesystem: fs.FileSystem
    path: str
    name: str
    size: int
    mtime_ns: int | None


class Content(NamedTuple):
    """A part that is read as a stream: its name in messages and, decompressed, its bytes from the first on.

    head : at most so many first bytes, and whether these are all.
    tail : at most so many last bytes, to be asked for after reading to the end.
    enter : its bytes from one in its midst on; None where they can only be read from the first on.
    quick : whether to enter it takes no time, which it does where what comes before must be unpacked.
    """

    name: str
    open: Callable[[], pa.NativeFile]
    head: Callable[[int], tuple[bytes, bool]]
    tail: Callable[[int], bytes]
    enter: Callable[[int], pa.NativeFile] | None = None
    quick: bool = False

    def opened(self, byte: int) -> pa.NativeFile:
        """Open it at a byte, which is 0 where it cannot be entered."""
        return self.enter(byte) if self.enter is not None and byte else self.open()


def file_content(file: File) -> Content:
    """Make the content of a file."""
    with translated(file.name), file.filesystem.open_input_stream(file.path, compression=None) as raw:
        packed = compression(raw.read(4))
    return Content(
        file.name,
        lambda: open_bytes(file),
        lambda limit: read_head(file, limit),
        lambda limit: _read_tail(file, limit),
        (lambda byte: _unpacked_from(file, byte)) if packed else (lambda byte: _open_at(file, byte)),
        quick=packed is None,
    )


def find_files(place: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[File]:
    """List the files of a path, folder, glob, URL, or a list of them; those of a folder or a glob in sorted order.

    Raises DataError where there is no such file (with the nearest existing name), or a folder without data files.
    """
    places = [place] if isinstance(place, (str, os.PathLike)) else list(place)
    found = [file for one in places for file in _expand(os.fspath(one))]
    if not found:
        raise DataError("a source needs at least one file, got an empty list")
    if len({file.name for file in found}) < len(found):
        found = [file._replace(name=file.path) for file in found]
    return found


def open_bytes(file: File) -> pa.NativeFile:
    """Open a file for reading from its first byte, decompressed if its first bytes say that it is compressed."""
    with translated(file.name):
        raw = file.filesystem.open_input_stream(file.path, compression=None)
        magic = raw.read(4)
        raw.close()
        raw = file.filesystem.open_input_stream(file.path, compression=None, buffer_size=0)
        codec = compression(magic)
        return pa.CompressedInputStream(raw, codec) if codec else raw


def _open_at(file: File, byte: int) -> pa.NativeFile:
    """Open a file that is not compressed for reading from a byte on."""
    with translated(file.name):
        raw = file.filesystem.open_input_file(file.path)
        raw.seek(byte)
        return raw


def compression(first: bytes) -> str | None:
    """Name the compression that data beginning with these bytes have, if any."""
    return next((codec for magic, codec in _MAGIC if first.startswith(magic)), None)


def _unpacked_from(file: File, byte: int) -> pa.NativeFile:
    """Open a compressed file for reading from a byte of its content on: what comes before is unpacked, not parsed."""
    with translated(file.name):
        stream = open_bytes(file)
        while byte > 0 and (block := stream.read(min(byte, _READ_BYTES))):
            byte -= len(block)
        return stream


def refuse_changed(file: File) -> None:
    """Raise DataError when a file is no longer as it was when it was found; where no time is known, nothing is."""
    if file.mtime_ns is None:
        return
    with translated(file.name):
        info = file.filesystem.get_file_info(file.path)
    if (info.size, info.mtime_ns) != (file.size, file.mtime_ns):
        raise DataError(f"{file.name} was changed while it was read: its size or its time is another one now")


def look_at(files: Sequence[File]) -> list[str]:
    """Hash some blocks of each file: its first, its last, and others evenly between them.

    A file that is written over in place with its size and time set back as they were is told by these, cheaply: files
    of up to 16 MiB together are read whole. It is no seal: a change between the blocks of a large file is not seen.
    """
    return [_look_at(file, max(LOOKS // len(files), 2)) for file in files]


def _look_at(file: File, blocks: int) -> str:
    """Hash so many blocks of a file, or all of it."""
    digest = hashlib.sha256()
    last = max(file.size - LOOK_BYTES, 0)
    starts = {place * last // (blocks - 1) for place in range(blocks)}
    if file.size <= blocks * LOOK_BYTES:
        starts = set(range(0, file.size, LOOK_BYTES))
    with translated(file.name), file.filesystem.open_input_file(file.path) as stream:
        for start in sorted(starts):
            stream.seek(start)
            digest.update(stream.read(LOOK_BYTES))
    return digest.hexdigest()


def read_head(file: File, limit: int) -> tuple[bytes, bool]:
    """Read at most `limit` bytes (decompressed) from the beginning, and whether that is all the file holds."""
    with translated(file.name), open_bytes(file) as stream:
        head = stream.read(limit + 1)
    return bytes(head[:limit]), len(head) <= limit


def _read_tail(file: File, limit: int) -> bytes:
    """Read the last bytes of a file (decompressed) by reading through it."""
    tail = b""
    with translated(file.name), open_bytes(file) as stream:
        while block := stream.read(_READ_BYTES):
            tail = (tail + block)[-limit:]
    return tail


def file_format(file: File) -> str:
    """Tell the format of a file by its extension, or by its first bytes where the extension leaves it open."""
    certain = _extension_format(file.path)
    if certain:
        return certain
    head, complete = read_head(file, SNIFFED_BYTES)
    return sniff_format(head, file.name, complete=complete)


def sniff_format(head: bytes, name: str, *, complete: bool) -> str:
    """Tell the format of data from their first bytes; `complete` says whether these are all.

    >>> sniff_format(b"+1 3:0.5 7:1", "a9a", complete=True)
    'svmlight'
    """
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"ARROW1", b"FEA1")) or (head[:4] == b"\xff\xff\xff\xff" and len(head) >= 8):
        return "arrow"
    if head.startswith(b"PK\x03\x04"):
        if b".npy" in head[:100]:
            return "npz"
        if b"[Content_Types].xml" in head[:100] or name.endswith((".xlsx", ".ods")):
            raise DataError(f"{name} is a workbook of spreadsheets: save one of them as CSV")
        raise DataError(f"{name} is a zip archive: unpack it and give the file inside")
    text = head.removeprefix(BOM_UTF8).lstrip()
    if text.startswith(b"{"):
        return "jsonl"
    lines = text.split(b"\n")
    lines = [line for line in (lines if complete else lines[:-1])[:20] if line.strip() and not line.startswith(b"#")]
    if b":" in b"".join(lines) and all(_SVMLIGHT_LINE.fullmatch(line.strip()) for line in lines):
        return "svmlight"
    return "csv"


def stem(path: str) -> str:
    """Name a source after its path: the last part without format and compression ("flights" for flights.csv.gz).

    >>> stem("data/flights.csv.gz"), stem("a9a.t"), stem("runs/v1.2/"), stem("s3://b/a.parquet?region=eu-west-1")
    ('flights', 'a9a', 'v1.2', 'a')
    """
    place = _split_query(path)[0] if "://" in path else path
    name = PurePosixPath(place.replace(os.sep, "/")).name
    base, extension = os.path.splitext(name)
    if extension.lower() in _COMPRESSED:
        base, extension = os.path.splitext(base)
        name = base + extension
    known = extension and (extension.lower() in _EXTENSIONS or extension.lower() in _UNCERTAIN)
    return base if known else name


@contextlib.contextmanager
def translated(name: str) -> Iterator[None]:
    """Turn what Arrow and the system raise while reading `name` into a DataError of one sentence."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise DataError(explain(error, name)) from error


def explain(error: Exception, name: str) -> str:
    """Say in one sentence what Arrow or the system found wrong while reading `name`."""
    text = re.sub(r"\s+", " ", re.split(r" Detail:| error_info=", str(error))[0]).strip()
    if isinstance(error, FileNotFoundError):
        return f"{name} does not exist"
    if isinstance(error, PermissionError):
        return f"{name} cannot be read: permission denied"
    if "Truncated compressed stream" in text:
        return f"{name} is cut off: its compressed data end too early"
    if "inflate failed" in text or "decompress" in text.lower():
        return f"{name} is damaged: its compressed data cannot be unpacked ({text})"
    return f"{name} cannot be read: {text}"


def _expand(place: str) -> list[File]:
    """List the files of one path, folder, glob or URL."""
    if "://" in place:
        return _expand_url(place)
    local = fs.LocalFileSystem()
    place = os.path.expanduser(place)
    if os.path.isdir(place):
        return _folder(local, place, place)
    if os.path.exists(place):
        return [_file(local, fs.FileInfo(place, fs.FileType.File), os.path.basename(place))]
    if glob.has_magic(place):
        paths = sorted(path for path in glob.glob(place, recursive=True) if os.path.isfile(path) and not _hidden(path))
        if not paths:
            raise DataError(f"no file matches {place}")
        return [_file(local, fs.FileInfo(path, fs.FileType.File), os.path.basename(path)) for path in paths]
    if os.path.islink(place):
        raise DataError(f"{place} is a link that leads nowhere, or round in a circle")
    folder = os.path.dirname(place) or "."
    hint = nearest(place) if os.path.isdir(folder) else f", nor does the folder {folder}"
    raise DataError(f"{place} does not exist{hint}")


def _expand_url(url: str) -> list[File]:
    """List the files of a URL for pyarrow's filesystems, whose last parts may be a glob."""
    place, query = _split_query(url)
    if re.match(r"\w+://[^/@]+:[^/@]*@", place):
        raise DataError(
            "an address must hold no keys, since it is written down with the run: put them into the environment "
            f"(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for S3), and leave '…@' out of the address of {stem(place)}"
        )
    fixed, magic, rest = place, "", ""
    if glob.has_magic(place):
        position = re.search(r"[*?\[]", place)
        cut = place.rindex("/", 0, position.start() if position else None)
        fixed, magic, rest = place[:cut], "*", place[cut + 1 :]
    with translated(url):
        try:
            filesystem, path = fs.FileSystem.from_uri(fixed + _with_patience(place, query))
        except (pa.ArrowInvalid, ValueError) as error:
            raise DataError(_explain_address(error, url)) from error
        info = filesystem.get_file_info(path)
        if info.type == fs.FileType.NotFound:
            raise DataError(f"{url} does not exist")
        if info.type == fs.FileType.File:
            return [_file(filesystem, info, info.base_name)]
        if not magic:
            return _folder(filesystem, path, url)
        listing = filesystem.get_file_info(fs.FileSelector(path, recursive="/" in rest))
    matching = [i for i in listing if i.is_file and fnmatch.fnmatchcase(i.path[len(path) :].lstrip("/"), rest)]
    if not matching:
        raise DataError(f"no file matches {url}")
    return [_file(filesystem, info, info.base_name) for info in sorted(matching, key=lambda info: info.path)]


def _with_patience(place: str, query: str) -> str:
    """Have Google's storage give up within seconds: by itself it tries for 15 minutes, and no signal ends that."""
    if not place.startswith(("gs://", "gcs://")) or "retry_limit_seconds=" in query:
        return query
    return f"{query}{'&' if query else '?'}retry_limit_seconds={_PATIENCE}"


def _explain_address(error: Exception, url: str) -> str:
    """Say what is wrong with an address."""
    if "Unrecognized filesystem type" not in str(error):
        return explain(error, url)
    piped = "; what a web server gives can be piped: curl -L ADDRESS | schuss train - …" if "http" in url[:5] else ""
    return f"{url} cannot be read: addresses begin with s3://, gs://, abfs://, hdfs:// or file://{piped}"


def _split_query(url: str) -> tuple[str, str]:
    """Split what an address tells the filesystem off: the "?" of a glob has no name and "=" after it.

    >>> _split_query("s3://b/part-?.parquet?scheme=http")
    ('s3://b/part-?.parquet', '?scheme=http')
    """
    found = re.search(r"\?\w+=[^/]*$", url)
    return (url[: found.start()], url[found.start() :]) if found else (url, "")


def _folder(filesystem: fs.FileSystem, path: str, shown: str) -> list[File]:
    """List the data files below a folder, which must be of one format; hidden files and markers are passed over."""
    with translated(shown):
        if isinstance(filesystem, fs.LocalFileSystem):
            listing = filesystem.get_file_info(_walk(path))
        else:
            listing = filesystem.get_file_info(fs.FileSelector(path, recursive=True))
    relative = {info.path: info.path[len(path.rstrip("/")) :].lstrip("/") for info in listing if info.is_file}
    infos = sorted((i for i in listing if i.is_file and not _hidden(relative[i.path])), key=lambda i: i.path)
    certain = [info for info in infos if _extension_format(info.path)]
    chosen = certain or [info for info in infos if _bare_extension(info.path) in _UNCERTAIN]
    if not chosen:
        raise DataError(f"{shown} is a folder without data files")
    files = [_file(filesystem, info, relative[info.path]) for info in chosen]
    first = file_format(files[0])
    for file in files[1:]:
        if file_format(file) != first:
            raise DataError(
                f"{shown} holds files of several formats, {files[0].name} ({first}) and {file.name} "
                f"({file_format(file)}): give one format, for instance as a glob"
            )
    return files


def _walk(path: str) -> list[str]:
    """List the files below a local folder, each folder once even where links lead round in circles."""
    found, seen = [], set()
    for folder, folders, names in os.walk(path, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        found += [os.path.join(folder, name) for name in names]
    return found


def _file(filesystem: fs.FileSystem, info: fs.FileInfo, name: str) -> File:
    """Describe one file, asking the filesystem for its size and time where the listing does not say."""
    if info.size is None:
        with translated(name):
            info = filesystem.get_file_info(info.path)
    return File(filesystem, info.path, name, int(info.size or 0), info.mtime_ns)


def _hidden(path: str) -> bool:
    """Tell hidden files and markers such as _SUCCESS and .crc, which are no data, from the rest."""
    return any(part.startswith((".", "_")) for part in PurePath(path).parts if part not in (".", "..", os.sep))


def _bare_extension(path: str) -> str:
    """Give the extension in lower case, that of the compression left out."""
    base, extension = os.path.splitext(path.lower())
    return os.path.splitext(base)[1] if extension in _COMPRESSED else extension


def _extension_format(path: str) -> str | None:
    return _EXTENSIONS.get(_bare_extension(path))


def block_bytes(least: int, columns: int) -> int:
    """Give the bytes of a block of text: more where rows have many columns, each of which costs some 20 µs a block.

    >>> block_bytes(1 << 21, 100) >> 20, block_bytes(1 << 21, 2000) >> 20, block_bytes(1 << 21, 20_000) >> 20
    (2, 6, 16)
    """
    return least * min(_LONGER_AT_MOST, 1 + columns // _MANY_COLUMNS)


def read_blocks(stream: pa.NativeFile, size: int, begin: int = 0) -> Iterator[bytes]:
    """Yield the bytes of a stream in blocks of whole lines of about `size` bytes; the last line may lack its end.

    begin : the byte at which the stream has been entered, where a block begins: the next ones are cut as they were.
    """
    rest: list[bytes] = []
    waiting, wanted = 0, size - begin % size
    while block := stream.read(wanted):
        wanted = size
        cut = block.rfind(b"\n") + 1
        if cut:
            yield b"".join([*rest, block[:cut]])
            rest, waiting = [], 0
        rest.append(block[cut:])
        waiting += len(rest[-1])
        if waiting > LONGEST_LINE:
            raise OSError(f"a line is longer than {LONGEST_LINE >> 20} MB")
    if waiting:
        yield b"".join(rest)
