"""Worker processes: order, limits, and that a bad file costs one file (P12, P13)."""

import io
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import xxhash
from PIL import Image

from vsearch import errors
from vsearch.decode import SUPPORTED_SUFFIXES, Decoded, DecodePool, Job, Limits, Same, decode_one
from vsearch.types import Failure, PixelSpec

SPEC = PixelSpec(8)
CULPRITS = (sys.executable, str(Path(__file__).with_name("decode_culprits.py")))


def png(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def numbered(n):
    """A picture whose colour and size tell its number."""
    return png(Image.new("RGB", (10 + n % 7, 9), (n % 256, n // 256, 77)))


def number(decoded):
    assert (decoded.pixels == decoded.pixels[0, 0]).all()
    red, green, blue = decoded.pixels[0, 0].tolist()
    assert blue == 77
    return red + 256 * green


def write(folder, **files):
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return {name: os.fsencode(folder / name) for name in files}


def culprit(what, argument="", after=b""):
    return f"CULPRIT\n{what}\n{argument}\n".encode() + after


@pytest.fixture(scope="module")
def pool():
    with DecodePool(SPEC, Limits(max_pixels=10_000, max_pixels_jpeg=40_000, max_bytes=100_000), workers=2) as pool:
        yield pool


def outcome(pool, path):
    (result,) = pool.map([Job(os.fsencode(path))])
    return result


# ---- order and bounds


def test_results_come_in_the_order_of_the_jobs_with_their_own_data(tmp_path, pool):
    paths = []
    for n in range(300):
        paths.append(os.fsencode(tmp_path / f"{n}.png"))
        Path(os.fsdecode(paths[-1])).write_bytes(numbered(n))
    results = list(pool.map(Job(p) for p in paths))
    assert [r.path for r in results] == paths
    assert [number(r) for r in results] == list(range(300))
    assert [r.width for r in results] == [10 + n % 7 for n in range(300)]


def test_a_result_tells_content_and_times_of_the_file_that_was_read(tmp_path, pool):
    path = tmp_path / "a.png"
    path.write_bytes(numbered(5))
    os.utime(path, ns=(1, 1_600_000_000_123_456_789))
    result, told = outcome(pool, path), path.stat()
    assert isinstance(result, Decoded)
    assert result.content == xxhash.xxh3_128(numbered(5)).digest()
    assert (result.size, result.mtime_ns, result.ctime_ns) == (told.st_size, told.st_mtime_ns, told.st_ctime_ns)
    assert result.format == "PNG"
    assert result.pixels.flags.writeable


def test_no_more_jobs_are_taken_than_the_window_holds(tmp_path, pool):
    path = os.fsencode(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(numbered(1))
    taken = []

    def jobs():
        for n in range(100):
            taken.append(n)
            yield Job(path)

    for done, _ in enumerate(pool.map(jobs(), window=5)):
        assert len(taken) - done <= 5


def test_a_map_that_is_not_read_to_its_end_leaves_a_pool_that_works(tmp_path, pool):
    path = write(tmp_path, a=numbered(1))["a"]
    results = pool.map([Job(path)] * 50)
    next(results)
    results.close()
    assert number(outcome(pool, path)) == 1


def test_an_error_in_the_jobs_comes_through_and_the_pool_still_works(tmp_path, pool):
    path = write(tmp_path, a=numbered(1))["a"]

    def jobs():
        yield Job(path)
        raise KeyError("from the source")

    with pytest.raises(KeyError, match="from the source"):
        list(pool.map(jobs()))
    assert number(outcome(pool, path)) == 1


def test_several_threads_may_share_a_pool(tmp_path, pool):
    paths = write(tmp_path, **{f"n{n}": numbered(n) for n in range(40)})
    found = {}

    def run(part):
        found[part] = [number(r) for r in pool.map(Job(paths[f"n{n}"]) for n in range(part, 40, 4))]

    threads = [threading.Thread(target=run, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {part: list(range(part, 40, 4)) for part in range(4)}


def test_known_contents_are_not_decoded(tmp_path, pool):
    files = write(tmp_path, known=numbered(1), other=numbered(2), broken=b"known too")
    known = frozenset(xxhash.xxh3_128_digest(data) for data in (numbered(1), b"known too"))
    results = list(pool.map(Job(path, known) for path in files.values()))
    told = os.stat(files["known"])
    digest = xxhash.xxh3_128_digest(numbered(1))
    assert results[0] == Same(files["known"], digest, told.st_size, told.st_mtime_ns, told.st_ctime_ns)
    assert number(results[1]) == 2
    assert isinstance(results[2], Same)


def test_worker_processes_are_renewed(tmp_path, monkeypatch, processes):
    monkeypatch.setattr("vsearch.decode.pool._RECYCLE_AFTER", 3)
    path = write(tmp_path, a=numbered(9))["a"]
    with DecodePool(SPEC, workers=1) as pool:
        pids = []
        for _ in range(7):
            assert number(pool.one(path)) == 9
            pids.append(processes()[1])
    assert pids[0] == pids[1] != pids[3] == pids[4] != pids[6]
    assert pids[2] == pids[5] == []


# ---- files that cannot be read


def broken_files(folder):
    (folder / "folder.jpg").mkdir()
    os.mkfifo(folder / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket.jpg"))
    (folder / "device.jpg").symlink_to("/dev/zero")
    (folder / "dangling.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    with open(folder / "huge.jpg", "wb") as file:
        file.truncate(2**40)


REASONS = {
    "folder.jpg": "not a file but a folder",
    "pipe.jpg": "not a file but a pipe",
    "socket.jpg": "not a file but a socket",
    "device.jpg": "not a file but a device",
    "dangling.jpg": "no such file",
    "loop.jpg": "its links lead in a circle",
    "missing.jpg": "no such file",
    "huge.jpg": "1,048,576 MiB, more than 0.0953674 MiB; raise the limit with --max-bytes",
}


@pytest.mark.parametrize("name", REASONS)
def test_what_is_not_a_readable_file_is_a_failure_with_its_reason(tmp_path, pool, name):
    broken_files(tmp_path)
    result = outcome(pool, tmp_path / name)
    assert isinstance(result, Failure)
    assert (result.stage, result.reason) == ("read", REASONS[name])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_read_permission(tmp_path, pool):
    path = tmp_path / "a.jpg"
    path.write_bytes(numbered(1))
    path.chmod(0)
    assert outcome(pool, path).reason == "no permission to read it"


def test_a_file_that_is_longer_than_it_says_counts_as_changed(pool):
    result = outcome(pool, "/proc/self/status")  # says 0 bytes
    assert (result.stage, result.reason) == ("read", "the file changed while it was read")


def test_a_link_to_a_picture_is_read(tmp_path, pool):
    (tmp_path / "a.png").write_bytes(numbered(3))
    (tmp_path / "b.png").symlink_to("a.png")
    assert number(outcome(pool, tmp_path / "b.png")) == 3


def test_names_of_any_bytes_and_names_that_cannot_be(tmp_path, pool):
    name = os.fsencode(tmp_path) + b"/\xff\xfe\n\xe2\x80\xae" + "🍎".encode()
    with open(name, "wb") as file:
        file.write(numbered(4))
    assert number(outcome(pool, name)) == 4
    assert outcome(pool, b"/\0").reason == "no such file"
    assert outcome(pool, b"/" + b"n" * 300).reason == "file name too long"


# ---- files that are no good picture


def test_a_damaged_file_has_a_reason_its_size_and_time(tmp_path, pool):
    path = tmp_path / "a.png"
    path.write_bytes(numbered(1)[:50])
    result, told = outcome(pool, path), path.stat()
    expected = Failure(
        os.fsencode(path), "decode", "the file ends before the picture does", told.st_size, told.st_mtime_ns
    )
    assert result == expected


NOT_PICTURES = {
    b"": "the file is empty",
    b"<!DOCTYPE html><p>404": "a web page",
    b"<svg xmlns='http://www.w3.org/2000/svg'/>": "an SVG drawing",
    b"%PDF-1.7\n": "a PDF document",
    b"PK\x03\x04....": "a zip archive or office document",
    b"\x7fELF\2\1\1": "a program",
    b"8BPS\0\1": "a Photoshop document",
    b"%!PS-Adobe-3.0 EPSF-3.0\n": "a PostScript document",
    b"\0\0\0\x18ftypmp42": "a video",
    b"\0" * 4096: "zeros",
    "schöne Grüße".encode(): "text",
    b"\x80\x04\x95\x01": "unknown data",
}


@pytest.mark.parametrize("data", NOT_PICTURES)
def test_what_is_not_a_picture_is_called_what_it_looks_like(tmp_path, pool, data):
    (tmp_path / "a.jpg").write_bytes(data)
    result = outcome(pool, tmp_path / "a.jpg")
    assert result.stage == "decode"
    assert NOT_PICTURES[data] in result.reason


def test_content_counts_and_not_the_name(tmp_path, pool):
    (tmp_path / "a.pdf").write_bytes(numbered(6))
    assert number(outcome(pool, tmp_path / "a.pdf")) == 6


FORMATS = {
    "JPEG": {},
    "progressive JPEG": {"progressive": True},
    "PNG": {},
    "GIF": {},
    "BMP": {},
    "TIFF": {},
    "compressed TIFF": {"compression": "tiff_lzw"},
    "WEBP": {},
    "lossless WEBP": {"lossless": True},
    "AVIF": {},
}


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("name", FORMATS)
def test_a_file_that_was_cut_short_is_called_so(tmp_path, pool, name, kept):
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    image.save(buffer, name.split()[-1], **FORMATS[name])
    path = tmp_path / "a"
    path.write_bytes(buffer.getvalue()[: int(len(buffer.getvalue()) * kept)])
    assert outcome(pool, path).reason == "the file ends before the picture does"


def test_pixel_limits_are_checked_before_decoding_and_name_the_flag(tmp_path, pool):
    Image.new("L", (101, 100)).save(tmp_path / "a.png")
    Image.new("L", (201, 200)).save(tmp_path / "b.jpg")
    Image.new("L", (200, 200)).save(tmp_path / "c.jpg")
    expected = "101 x 100 pixels, more than 0.01 million; raise the limit with --max-pixels"
    assert outcome(pool, tmp_path / "a.png").reason == expected
    assert "201 x 200 pixels, more than 0.04 million" in outcome(pool, tmp_path / "b.jpg").reason
    assert outcome(pool, tmp_path / "c.jpg").width == 200


def test_one_query_picture_raises_the_errors_of_the_tree(tmp_path):
    (tmp_path / "a.png").write_bytes(numbered(8))
    assert number(decode_one(os.fsencode(tmp_path / "a.png"), SPEC)) == 8
    files = write(tmp_path, text=b"text", cut=numbered(1)[:50], flipped=numbered(1).replace(b"IDAT", b"IDxT"))
    expected = {
        files["text"]: errors.NotAnImage,
        files["cut"]: errors.Truncated,
        files["flipped"]: errors.DecodeError,
        b"/no/such": errors.SourceError,
    }
    with DecodePool(SPEC, Limits(max_bytes=500), workers=1) as pool:
        for path, kind in expected.items():
            with pytest.raises(kind, match=os.fsdecode(path)):
                pool.one(path)
        with pytest.raises(errors.ImageTooLarge, match="--max-bytes"):
            pool.one(os.fsencode(__file__))


# ---- culprits

CULPRIT_REASONS = {
    "segfault": "decoder crashed (signal 11)",
    "killed": "decoder crashed (signal 9)",
    "exits": "decoder crashed",
    "babbles": "the decoder's answer makes no sense",
    "hangs": "took longer than 1 s; raise the limit with --decode-seconds",
    "eats": "decoding it needs more than 128 MiB of memory",
}


def test_p13_each_culprit_costs_itself_and_no_neighbour(tmp_path, capfd):
    names, jobs = list(CULPRIT_REASONS), []
    for n in range(60):
        data = culprit(names[n // 10]) if n % 10 == 5 else numbered(n)
        jobs.append(Job(write(tmp_path, **{f"n{n}": data})[f"n{n}"]))
    with DecodePool(SPEC, Limits(seconds=1, memory_mb=128), workers=3, command=CULPRITS) as pool:
        results = list(pool.map(jobs))
    assert [r.path for r in results] == [j.path for j in jobs]
    for n, result in enumerate(results):
        if n % 10 == 5:
            assert isinstance(result, Failure)
            assert result.reason == CULPRIT_REASONS[names[n // 10]]
            assert (result.stage, result.size) == ("decode", len(culprit(names[n // 10])))
        else:
            assert number(result) == n
    assert capfd.readouterr() == ("", "")


def test_p13_a_decoder_that_prints_is_not_heard(tmp_path, capfd):
    path = write(tmp_path, a=culprit("prints", after=numbered(7)))["a"]
    with DecodePool(SPEC, workers=1, command=CULPRITS) as pool:
        assert number(pool.one(path)) == 7
    assert capfd.readouterr() == ("", "")


def test_p13_a_crash_that_does_not_repeat_costs_nothing(tmp_path):
    path = write(tmp_path, a=culprit("segfaults_once", tmp_path / "seen", numbered(7)))["a"]
    with DecodePool(SPEC, workers=1, command=CULPRITS) as pool:
        assert number(pool.one(path)) == 7
    assert (tmp_path / "seen").is_dir()


def test_crash_and_time_out_have_their_own_errors(tmp_path):
    files = write(tmp_path, crash=culprit("segfault"), slow=culprit("hangs"), big=culprit("eats"))
    with DecodePool(SPEC, Limits(seconds=0.5, memory_mb=128), workers=1, command=CULPRITS) as pool:
        for name, kind in {
            "crash": errors.DecoderCrashed,
            "slow": errors.DecodeTimeout,
            "big": errors.ImageTooLarge,
        }.items():
            with pytest.raises(kind):
                pool.one(files[name])


def scan_bomb(side, scans):
    """A progressive JPEG whose last scan is there many times: kilobytes that take minutes to decode."""
    buffer = io.BytesIO()
    Image.new("L", (side, side), 99).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + b"\xff\xd9"


def test_p13_real_bombs_are_stopped_by_time_and_by_memory(tmp_path):
    bomb = Image.new("RGB", (6000, 6000))
    files = write(tmp_path, a=numbered(1), scans=scan_bomb(3000, 1500), b=numbered(2), pixels=png(bomb), c=numbered(3))
    with DecodePool(SPEC, Limits(seconds=1, memory_mb=100), workers=2) as pool:
        results = list(pool.map(Job(p) for p in files.values()))
    assert [number(results[i]) for i in (0, 2, 4)] == [1, 2, 3]
    assert results[1].reason == "took longer than 1 s; raise the limit with --decode-seconds"
    assert results[3].reason == "decoding it needs more than 100 MiB of memory"


# ---- processes


def children_of(pid):
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def started_by(pid):
    """What any thread of a process has started."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return {int(child) for task in tasks for child in (task / "children").read_text().split()}


@pytest.fixture
def processes():
    """A function that tells the servers and the workers that this test has started."""
    before = started_by(os.getpid())

    def processes():
        servers = sorted(started_by(os.getpid()) - before)
        return servers, [worker for server in servers for worker in children_of(server)]

    return processes


def all_end(handles):
    ended = [bool(select.select([handle], [], [], 20)[0]) for handle in handles]
    for handle in handles:
        os.close(handle)
    return all(ended)


def test_the_server_loads_nothing_that_is_not_for_decoding():
    code = "import sys, vsearch.decode.server; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "PIL.Image" in loaded
    assert not {"torch", "faiss", "lmdb", "open_clip", "multiprocessing"} & {name.split(".")[0] for name in loaded}


def test_importing_the_room_costs_nothing():
    code = "import sys, vsearch.decode as d; d.SUPPORTED_SUFFIXES, d.Limits, d.Job; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "vsearch.decode.job" in loaded
    assert not {"torch", "faiss", "lmdb", "numpy", "PIL", "msgspec"} & {name.split(".")[0] for name in loaded}
    assert {b".jpg", b".heic", b".avif"} <= SUPPORTED_SUFFIXES


def test_workers_are_confined(tmp_path, processes):
    path = write(tmp_path, a=numbered(1))["a"]
    with DecodePool(SPEC, Limits(memory_mb=300), workers=1) as pool:
        pool.one(path)
        _, (worker,) = processes()
        limits = Path(f"/proc/{worker}/limits").read_text()
        status = Path(f"/proc/{worker}/status").read_text()
        files = {os.readlink(f"/proc/{worker}/fd/{fd}") for fd in os.listdir(f"/proc/{worker}/fd")}
        maps = Path(f"/proc/{worker}/maps").read_text()
    soft = {line[:26].strip(): line[26:47].strip() for line in limits.splitlines()}
    assert soft["Max file size"] == soft["Max core file size"] == "0"
    assert soft["Max open files"] == "16"
    assert 300 * 2**20 < int(soft["Max address space"]) < 3000 * 2**20
    assert int(soft["Max cpu time"]) < 60
    assert "NoNewPrivs:\t1" in status
    assert "Threads:\t1\n" in status
    assert {name.split(":")[0] for name in files} == {"/dev/null", "socket"}
    assert len(files) == 2
    assert "/dev/shm" not in maps


def test_close_ends_every_process_and_twice_is_fine(tmp_path, processes):
    path = write(tmp_path, a=numbered(1))["a"]
    pool = DecodePool(SPEC, workers=2)
    pool.one(path)
    servers, workers = processes()
    handles = [os.pidfd_open(pid) for pid in servers + workers]
    pool.close()
    pool.close()
    assert (len(servers), len(workers)) == (1, 1)
    assert all_end(handles)
    with pytest.raises(errors.DecodeError, match="closed"):
        list(pool.map([Job(path)]))


def test_a_server_that_is_killed_is_started_again_and_no_file_is_lost(tmp_path, processes):
    paths = write(tmp_path, **{f"n{n}": numbered(n) for n in range(30)})
    numbers, servers = [], set()
    with DecodePool(SPEC, workers=2) as pool:
        for n, result in enumerate(pool.map((Job(p) for p in paths.values()), window=4)):
            numbers.append(number(result))
            if n in (0, 29):
                servers.update(processes()[0])
            if n == 10:
                os.kill(processes()[0][0], signal.SIGKILL)
    assert numbers == list(range(30))
    assert len(servers) == 2


HOST = """
import os, sys
from vsearch.decode import DecodePool, Job, Limits
from vsearch.types import PixelSpec
with DecodePool(PixelSpec(8), Limits(seconds=300), workers=2, command=sys.argv[2:]) as pool:
    pool.one(os.fsencode(sys.argv[1] + "/good"))
    print("ready", flush=True)
    list(pool.map([Job(os.fsencode(sys.argv[1] + "/hangs"))] * 2))
"""


def hanging_host(tmp_path):
    """A program whose two workers hang, and handles of its server and workers."""
    write(tmp_path, good=numbered(1), hangs=culprit("hangs"))
    host = subprocess.Popen(
        [sys.executable, "-c", HOST, str(tmp_path), *CULPRITS], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert host.stdout.readline() == b"ready\n"
    while True:
        servers = list(started_by(host.pid))
        workers = [w for s in servers for w in children_of(s)]
        if len(workers) == 2:
            return host, [os.pidfd_open(pid) for pid in servers + workers]


def test_no_process_outlives_a_host_that_is_killed(tmp_path):
    host, handles = hanging_host(tmp_path)
    with host:
        host.kill()
    assert len(handles) == 3
    assert all_end(handles)


def test_ctrl_c_closes_the_pool_and_only_the_host_speaks_of_it(tmp_path):
    host, handles = hanging_host(tmp_path)
    with host:
        host.send_signal(signal.SIGINT)
        _, stderr = host.communicate(timeout=60)
    assert host.returncode == -signal.SIGINT
    assert stderr.count(b"Traceback") == 1
    assert stderr.rstrip().endswith(b"KeyboardInterrupt")
    assert all_end(handles)


def test_a_server_that_cannot_start_says_why(tmp_path):
    command = [sys.executable, "-c", "import no_such_module"]
    path = write(tmp_path, a=numbered(1))["a"]
    with DecodePool(SPEC, workers=1, command=command) as pool:
        with pytest.raises(errors.DecodeError, match="cannot be started: .*no_such_module"):
            pool.one(path)


def test_the_main_module_of_the_host_is_not_run_again(tmp_path):
    (tmp_path / "a.png").write_bytes(numbered(3))
    script = tmp_path / "main.py"
    script.write_text(
        "import os\nfrom vsearch.decode import decode_one\nfrom vsearch.types import PixelSpec\n"
        "print('once')\nprint(decode_one(b'a.png', PixelSpec(8)).pixels[0, 0].tolist())\n"
    )
    (tmp_path / "PIL.py").write_text("raise SystemExit('the current folder is not for importing')")
    root = str(Path(__file__).parents[1])
    run = subprocess.run(
        [sys.executable, "-P", str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert (run.stdout, run.stderr) == ("once\n[3, 0, 77]\n", "")


MEMORY = """
import os, resource, sys
from vsearch.decode import DecodePool, Job
from vsearch.types import PixelSpec
path = os.fsencode(sys.argv[1])
with DecodePool(PixelSpec(260), workers=2) as pool:
    for n in (200, 2000):
        assert sum(r.pixels.shape == (260, 260, 3) for r in pool.map(Job(path) for _ in range(n))) == n
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_of_the_host_does_not_grow_with_the_number_of_jobs(tmp_path):
    path = write(tmp_path, a=numbered(1))["a"]
    run = subprocess.run([sys.executable, "-c", MEMORY, path], capture_output=True, text=True, check=True)
    few, many = map(int, run.stdout.split())
    assert many <= 1.1 * few
