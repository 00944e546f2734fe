"""Sources that would hang, fill the memory or end in a traceback: each file is set aside, or one line says it all."""

import gzip
import inspect
import io
import lzma
import os
import pickle
import socket
import struct
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from dvc.repo import Repo

from fakeprint.data import scan
from fakeprint.data.containers import open_container, tars
from fakeprint.data.containers.limits import Limits, require_limits
from fakeprint.data.decode import Unreadable
from fakeprint.errors import InputError
from tests.data.hostile import in_new_process, write_zip, zeros_bzip2, zeros_deflated, zeros_lzma

LIMIT = 2**24 + 8 * 10**4  # bytes of a file, at the 10,000 pixels that SCAN allows
SCAN = """
from fakeprint.data.containers import open_container
from fakeprint.data.scan import scan
before()
container = open_container(sys.argv[1])
found, reasons = scan(container, container.names, 10**4, 1)
result = {name: reasons.get(place, "fine") for place, name in enumerate(container.names)}
"""


def message(path: Path) -> str:
    with pytest.raises(InputError) as raised:
        assert open_container(path).names is None
    assert "\n" not in str(raised.value)
    return str(raised.value)


def content_of(path: Path, name: str) -> bytes | str:
    """The content by `read`, or the reason; `batches` must say the same."""
    container = open_container(path)
    try:
        content: bytes | str = container.read(name, 10**6)
    except Unreadable as error:
        content = error.reason
    ((found,),) = (list(batch.read()) for batch in container.batches([name], 8, 10**6))
    assert (found.reason if isinstance(found, Unreadable) else found) == content
    return content


@pytest.mark.slow
def test_only_regular_files_are_opened_and_no_more_of_them_than_an_image_can_have(
    tmp_path: Path, save: Callable[..., Path]
) -> None:
    source = tmp_path / "source"
    save(source / "a" / "fine.png", 1)
    (source / "a" / "x.png").mkdir()
    save(source / "a" / "x.png" / "deeper.png", 2)
    os.mkfifo(source / "a" / "pipe.png")
    (source / "a" / "zero.png").symlink_to("/dev/zero")
    (source / "a" / "linked.png").symlink_to(source / "a" / "fine.png")
    (source / "a" / "dead.png").symlink_to("/nowhere/at/all.png")
    (source / "a" / "circle.png").symlink_to("circle.png")
    (source / "a" / "kernel.png").symlink_to("/proc/kallsyms")  # its length is 0, its content is not
    with (source / "a" / "sparse.png").open("wb") as file:
        file.truncate(5 * 2**30)
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(source / "a")  # a socket's path is short
        server.bind("socket.png")
        os.chdir(here)
        reasons, mebibytes = in_new_process(SCAN, source)
    assert reasons == {
        "a/circle.png": "cannot be read (Too many levels of symbolic links)",
        "a/dead.png": "missing",
        "a/fine.png": "fine",
        "a/kernel.png": "not an image",
        "a/linked.png": "fine",
        "a/pipe.png": "not a regular file",
        "a/socket.png": "not a regular file",
        "a/sparse.png": "too large",
        "a/x.png/deeper.png": "fine",
        "a/zero.png": "not a regular file",
    }
    assert mebibytes < 60


@pytest.mark.slow
def test_a_zip_unpacks_no_more_than_its_directory_says_and_an_image_can_have(tmp_path: Path) -> None:
    deflated, bzip2, lzma = zeros_deflated(600), zeros_bzip2(150), zeros_lzma(150)
    members = {
        "bzip2 lies.png": (12, bzip2, 100, 0),
        "crc.png": (0, b"abc", 3, zlib.crc32(b"abd")),
        "damaged lzma.png": (14, lzma[:20] + b"\xaa" * 40 + lzma[60:], 10**6, 0),
        "deflate lies.png": (8, deflated, 100, 0),
        "honest.png": (8, deflated, 600 * 2**20, 0),
        "lzma lies.png": (14, lzma, 100, 0),
        "lzma of nothing.png": (14, b"\x09\x04", 100, 0),
        "lzma of less.png": (14, b"\x09\x04\x05\0\x5d\0\0\1", 100, 0),
        "lzma wants 4 GiB.png": (14, lzma[:5] + b"\xff" * 4 + lzma[9:], 100, 0),
        "shorter.png": (8, zeros_deflated(1), 2**20 + 1, 0),
        "unknown.png": (97, b"abc", 3, zlib.crc32(b"abc")),
        "zeros.png": (0, bytes(200 * 2**20), 200 * 2**20, 0),
    }
    reasons, mebibytes = in_new_process(SCAN, write_zip(tmp_path / "hostile.zip", members))
    assert reasons == dict.fromkeys(members, "corrupt") | {
        "honest.png": "too large",
        "unknown.png": "unsupported compression",
        "zeros.png": "too large",
    }
    assert mebibytes < 60


class Pipe(io.BytesIO):
    """What cannot go back."""

    def seek(self, *where: int) -> int:
        raise io.UnsupportedOperation


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_method_of_zip_gives_what_was_packed(tmp_path: Path, method: int) -> None:
    contents = {
        "empty": b"",
        "short": b"a",
        "noise": np.random.default_rng(0).bytes(3 * 10**5),
        "zeros": bytes(5 * 10**5),
    }
    plain, streamed = tmp_path / "plain.zip", tmp_path / "streamed.zip"
    with zipfile.ZipFile(plain, "w", method) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    packed = Pipe()
    with zipfile.ZipFile(packed, "w", method) as archive:  # lengths behind the data, as written into a pipe
        for name, content in contents.items():
            with archive.open(name, "w", force_zip64=True) as file:
                file.write(content)
    streamed.write_bytes(b"some program's own bytes" * 9 + packed.getvalue())  # as self-extracting archives have it
    for path in (plain, streamed):
        assert {name: content_of(path, name) for name in contents} == contents
    assert content_of(plain, "gone") == "missing"


@pytest.mark.parametrize("place", ["of the last record", "of the record of ZIP64"])
def test_many_members_are_counted_by_either_version_of_pythons_zipfile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """From 65,536 members on, a .zip ends with three records. Python's own reader changed which of them it names."""
    path = tmp_path / "many.zip"
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)  # for a small one
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(3):
            archive.writestr(f"{number}.png", b"")
    located = path.read_bytes().index(zipfile.stringEndArchive64)
    of_python = zipfile._EndRecData

    def found(file: BinaryIO) -> list[Any]:
        end = of_python(file)
        end[zipfile._ECD_LOCATION] = located + (76 if place == "of the last record" else 0)
        return end

    monkeypatch.setattr(zipfile, "_EndRecData", found)
    require_limits(path, Limits(members=3, unpacked=10**6, ratio=100))
    with pytest.raises(InputError, match="has more than 2 members; send it in parts"):
        require_limits(path, Limits(members=2, unpacked=10**6, ratio=100))


@pytest.mark.slow
def test_a_zip_s_directory_is_not_sent_to_the_processes(tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(3_000):
            archive.writestr(zipfile.ZipInfo(f"{number:06}.png"), b"")
    container = open_container(path)
    assert len(container.names) == 3_000
    (batch, *_) = container.batches(container.names, 64, 10**6)
    assert len(pickle.dumps(batch)) < 10_000


def test_a_damaged_archive_is_one_line(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).bytes(2 * 10**5)
    for suffix in ("gz", "bz2", "xz"):
        whole = io.BytesIO()
        with tarfile.open(fileobj=whole, mode=f"w:{suffix}") as archive:  # type: ignore[call-overload]
            for number in range(4):
                member = tarfile.TarInfo(f"a/{number}.png")
                member.size = len(noise) // 4
                archive.addfile(member, io.BytesIO(noise[number * member.size :]))
        cut, flipped = bytearray(whole.getvalue()), bytearray(whole.getvalue())
        del cut[len(cut) // 2 :]
        flipped[len(flipped) // 2] ^= 0xFF
        for kind, content in (("cut", cut), ("flipped", flipped)):
            path = tmp_path / f"{kind}.tar.{suffix}"
            path.write_bytes(content)
            assert f"data.path: {path} cannot be read as an archive (" in message(path)
            # `prepare` lists nothing before it reads.
            with pytest.raises(InputError, match="download or pack it again"):
                list(open_container(path).batches([f"a/{number}.png" for number in range(4)], 8, 10**6))


def test_an_xz_file_in_parts_is_read_and_one_that_wants_gigabytes_is_refused(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("a.png")
        member.size = 3 * 10**5
        archive.addfile(member, io.BytesIO(bytes(member.size)))
    content = packed.getvalue()
    parts = lzma.compress(content[:1000]) + bytes(8) + lzma.compress(content[1000:]) + bytes(4)
    (tmp_path / "parts.tar.xz").write_bytes(parts)
    assert content_of(tmp_path / "parts.tar.xz", "a.png") == bytes(3 * 10**5)
    greedy = bytearray(lzma.compress(content))
    length = 4 * greedy[12]  # of the block's header without its CRC-32
    assert greedy[14:16] == b"\x21\x01"  # LZMA2, one byte of properties: the dictionary's size
    greedy[16] = 40  # 4 GiB
    greedy[12 + length : 16 + length] = struct.pack("<L", zlib.crc32(greedy[12 : 12 + length]))
    (tmp_path / "greedy.tar.xz").write_bytes(greedy)
    assert "cannot be read as an archive (Memory usage limit exceeded)" in message(tmp_path / "greedy.tar.xz")


def test_a_damaged_header_is_not_the_end_of_a_tar(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for name in ("a", "b", "c"):
            archive.addfile(tarfile.TarInfo(f"{name}.png"))
    content = bytearray(path.read_bytes())
    content[512 + 148] ^= 1  # a digit of the second header's checksum
    path.write_bytes(content)
    assert "cannot be read as an archive (damaged header: bad checksum)" in message(path)
    with gzip.open(tmp_path / "a.tar.gz", "wb") as file:
        file.write(content)
    assert "cannot be read as an archive (damaged header: bad checksum)" in message(tmp_path / "a.tar.gz")


def with_member(path: Path, member: tarfile.TarInfo, content: bytes = b"") -> Path:
    """A .tar, or what the suffix says, of this member as it is between two files, of its content but not its length."""
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("a.png"))
        archive.addfile(member)
        archive.fileobj.write(content + bytes(-len(content) % 512))
        archive.offset += len(content) + -len(content) % 512
        archive.addfile(tarfile.TarInfo("z.png"))
    return path


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_a_damaged_extended_header_is_not_the_end_of_a_tar(tmp_path: Path, suffix: str) -> None:
    header = tarfile.TarInfo("header")
    header.type, header.size = tarfile.XHDTYPE, 9
    path = with_member(tmp_path / f"a{suffix}", header, b"0 path=b\n")
    assert "cannot be read as an archive (damaged header: invalid header)" in message(path)


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_a_negative_length_is_not_all_that_follows(tmp_path: Path, suffix: str) -> None:
    member = tarfile.TarInfo("b.png")
    member.pax_headers = {"size": "-1"}
    path = with_member(tmp_path / f"a{suffix}", member)
    assert "cannot be read as an archive (damaged header: a length of -1 bytes)" in message(path)


def test_global_headers_do_not_gather(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        for number in range(3):
            header = tarfile.TarInfo.create_pax_global_header({f"comment{number}": "x" * 500_000})
            archive.fileobj.write(header)  # type: ignore[union-attr]
            archive.offset += len(header)
            archive.addfile(tarfile.TarInfo(f"{number}.png"))
    assert "cannot be read as an archive (global headers of 15000" in message(tmp_path / "a.tar.gz")


def test_a_zip_without_its_start_is_one_line(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"a.png": (0, b"abc", 3, zlib.crc32(b"abc"))})
    path.write_bytes(path.read_bytes()[10:])
    assert "cannot be read as an archive (its start is missing)" in message(path)


@pytest.mark.slow
def test_a_name_of_gigabytes_is_refused(tmp_path: Path) -> None:
    for kind in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME):
        header = tarfile.TarInfo("a")
        header.type, header.size = kind, 600 * 2**20
        path = tmp_path / f"{kind.decode()}.tar.gz"
        start = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = zeros_deflated(600, wbits=31)
        first = start.compress(header.tobuf(tarfile.GNU_FORMAT)) + start.flush(zlib.Z_FULL_FLUSH)
        path.write_bytes(packed[:10] + first + packed[10:])
        text, mebibytes = in_new_process(
            """
from fakeprint.data.containers import open_container
from fakeprint.errors import InputError
before()
try:
    result = open_container(sys.argv[1]).names
except InputError as error:
    result = str(error)
""",
            path,
        )
        assert f"(a header of {600 * 2**20} bytes)" in text
        assert mebibytes < 60


@pytest.mark.slow
def test_batches_of_a_compressed_tar_are_bounded_in_bytes(tmp_path: Path) -> None:
    path = tmp_path / "long.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for number in range(16):
            member = tarfile.TarInfo(f"a/{number:02}.png")
            member.size = LIMIT if number % 8 else LIMIT + 1
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    reasons, mebibytes = in_new_process(SCAN, path)
    assert list(reasons.values()) == (["too large"] + ["not an image"] * 7) * 2
    assert mebibytes < 6 * LIMIT / 2**20  # all of them are 225 MiB
    small = tmp_path / "small.tar.gz"
    with tarfile.open(small, "w:gz", compresslevel=1) as archive:
        for number in range(20):
            member = tarfile.TarInfo(f"{number:02}.png")
            member.size = 2**22
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    container = open_container(small)
    assert [len(batch.rows) for batch in container.batches(container.names, 64, LIMIT)] == [4] * 5
    assert not any(batch.in_memory for batch in container.batches(container.names, 64, LIMIT))


def test_names_that_break_lines_and_names_that_are_no_text(tmp_path: Path, save: Callable[..., Path]) -> None:
    save(tmp_path / "lines" / "a" / "one\ntwo.png", 1)
    assert open_container(tmp_path / "lines").names == ["a/one\ntwo.png"]
    link = zipfile.ZipInfo("a/x\ny.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "lines.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert r"links: a/x\ny.png;" in message(tmp_path / "lines.zip")
    (tmp_path / "bytes").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/bytes/caf\xe9.png")).write_bytes(b"")
    assert r"has 1 file name(s) that are not UTF-8: caf\udce9.png; rename them" in message(tmp_path / "bytes")
    with tarfile.open(tmp_path / "bytes.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo("caf\udce9.png"))
    assert r"not UTF-8: caf\udce9.png" in message(tmp_path / "bytes.tar")
    with zipfile.ZipFile(tmp_path / "bytes.zip", "w") as archive:
        archive.writestr("café.png", b"")
    (tmp_path / "bytes.zip").write_bytes((tmp_path / "bytes.zip").read_bytes().replace("é".encode(), b"\xe9\xe9"))
    assert "cannot be read as an archive" in message(tmp_path / "bytes.zip")


def test_a_tar_s_sparse_members_are_refused(tmp_path: Path) -> None:
    """Their list of pieces may be of any length, and is not read."""
    text = "cannot be read as an archive (sparse member sparse.png, as of tar's --sparse)"
    member = tarfile.TarInfo("sparse.png")
    member.type = tarfile.GNUTYPE_SPARSE
    assert text in message(with_member(tmp_path / "a.tar", member))
    member = tarfile.TarInfo("sparse.png")
    member.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
    member.size = 512
    pieces = b"1000000000000\n" + b"1\n" * 249
    assert text in message(with_member(tmp_path / "b.tar", member, pieces))


def test_a_source_that_is_no_file_at_all(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.zip")
    assert message(tmp_path / "pipe.zip") == f"data.path: {tmp_path / 'pipe.zip'}: not a regular file"
    (tmp_path / "circle.tar").symlink_to("circle.tar")
    assert "cannot be read (Too many levels of symbolic links)" in message(tmp_path / "circle.tar")


@contextmanager
def nobody() -> Iterator[Path]:
    """A folder that others may enter, as a user who may not read everything."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        me = os.geteuid()
        try:
            yield Path(name)
        finally:
            os.seteuid(me)


def become_nobody() -> None:
    if os.geteuid() == 0:
        os.seteuid(65534)


def test_what_may_not_be_read(save: Callable[..., Path]) -> None:
    with nobody() as folder:
        for name in ("files/a.png", "folders/closed/a.png"):
            save(folder / name, 1)
        (folder / "files/a.png").chmod(0)
        (folder / "a.zip").write_bytes(b"")
        (folder / "a.zip").chmod(0)
        (folder / "folders/closed").chmod(0)
        become_nobody()
        assert content_of(folder / "files", "a.png") == "cannot be read (Permission denied)"
        closed = f"data.path: the folder {folder / 'folders/closed'} cannot be read (Permission denied)"
        assert message(folder / "folders") == closed
        assert message(folder / "a.zip") == f"data.path: {folder / 'a.zip'}: cannot be read (Permission denied)"


def test_a_folder_deeper_than_python_recurses(tmp_path: Path, save: Callable[..., Path]) -> None:
    deep = "/".join(["d"] * 200)
    save(tmp_path / deep / "a.png", 1)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 100)
    try:
        names = open_container(tmp_path).names
    finally:
        sys.setrecursionlimit(limit)
    assert names == [f"{deep}/a.png"]


# --- links and DVC


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_dvc_sees_what_we_read(tmp_path: Path, save: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is a link is refused because DVC sees no change in it; the links that we follow it follows too."""
    real, elsewhere = tmp_path / "repository" / "real", tmp_path / "elsewhere"
    save(real / "train" / "a" / "1.png", 1)
    file, inside = save(elsewhere / "2.png", 2), save(elsewhere / "b" / "3.png", 3)
    (real / "train" / "a" / "2.png").symlink_to(file)
    (real.parent / "linked").symlink_to(real)
    monkeypatch.chdir(real.parent)
    Path("dvc.yaml").write_text("stages:\n  read:\n    cmd: date +%N > out\n    deps: [linked]\n    outs: [out]\n")
    repository = Repo.init(no_scm=True)

    def stale_after(change: Callable[[], Any]) -> bool:
        repository.reproduce()
        change()
        return bool(repository.status())

    assert open_container(Path("linked")).names == ["train/a/1.png", "train/a/2.png"]
    assert not stale_after(lambda: None)
    assert stale_after(lambda: save(real / "train" / "a" / "1.png", 4))
    assert stale_after(lambda: save(file, 5))
    (real / "train" / "b").symlink_to(inside.parent)
    assert not stale_after(lambda: save(inside, 6))
    assert message(Path("linked")) == (
        f"data.path: 1 folder(s) are symbolic links, and DVC would not notice changes in them: linked/train/b is "
        f"{inside.parent}; replace each link by the folder itself, or link its files"
    )
    repository.close()


# --- passes over a compressed .tar


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[BinaryIO]:
    """The file of each pass over a compressed .tar, as it is opened; `tell` says how far it was read."""
    opened: list[BinaryIO] = []
    real = tars.open_regular

    def opening(path: Path) -> BinaryIO:
        file = real(path)
        opened.append(os.fdopen(os.dup(file.fileno()), "rb"))  # shares its place with the file
        return file

    monkeypatch.setattr(tars, "open_regular", opening)
    return opened


def test_a_pass_ends_with_the_last_wanted_member(tmp_path: Path, passes: list[BinaryIO]) -> None:
    path, noise = tmp_path / "a.tar.gz", np.random.default_rng(2).bytes(3 * 10**5)
    with tarfile.open(path, "w:gz") as archive:
        for number in range(20):
            member = tarfile.TarInfo(f"{number:02}.png")
            member.size = len(noise)
            archive.addfile(member, io.BytesIO(noise))
    container = open_container(path)
    assert len(container.names) == 20
    assert container.read("00.png", 10**6) == noise
    list(container.batches(["02.png", "01.png"], 8, 10**6))
    list(container.batches(["gone.png"], 8, 10**6))
    length = path.stat().st_size
    assert len(passes) == 3
    assert [os.lseek(file.fileno(), 0, os.SEEK_CUR) / length for file in passes] == [
        1.0,
        pytest.approx(0.05, abs=0.05),
        pytest.approx(0.15, abs=0.05),
    ]


def test_the_last_of_two_members_of_a_name_counts_listed_or_not(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for content in (b"first", b"other", b"last!"):
            member = tarfile.TarInfo("b.png" if content == b"other" else "a.png")
            member.size = 5
            archive.addfile(member, io.BytesIO(content))
    for names in (["a.png", "b.png"], ["a.png"]):
        for listed in (True, False):
            container = open_container(path)
            assert not listed or container.names == ["a.png", "b.png"]
            found = scan.each_file(container, names, 10**4, _content, 1, "test")
            assert found == [b"last!", b"other"][: len(names)]


def _content(content: bytes, row: int) -> bytes:
    return content
