"""What happens when decoders misbehave (P13), and how the processes live and die."""

import io
import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from decode_numbered import CULPRITS, SPEC, culprit, number, numbered, png, write
from PIL import Image

from vsearch import errors
from vsearch.decode import SUPPORTED_SUFFIXES, DecodePool, Job, Limits
from vsearch.types import Failure

# ---- culprits

CULPRIT_REASONS = {
    "segfault": "decoder crashed (signal 11)",
    "killed": "decoder crashed (signal 9)",
    "exits": "decoder crashed",
    "babbles": "the decoder's answer makes no sense",
    "hangs": "took longer than 2 s; raise the limit with --decode-seconds",
    "eats": "decoding it needs more than 128 MiB of memory",
}


def test_p13_each_culprit_costs_itself_and_no_neighbour(tmp_path, capfd):
    names, jobs = list(CULPRIT_REASONS), []
    for n in range(60):
        data = culprit(names[n // 10]) if n % 10 == 5 else numbered(n)
        jobs.append(Job(write(tmp_path, **{f"n{n}": data})[f"n{n}"]))
    with DecodePool(SPEC, Limits(seconds=2, memory_mb=128), workers=3, command=CULPRITS) as pool:
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


@pytest.mark.parametrize("what", ["width", "height", "taken", "offset", "iso", "columns"])
def test_p13_a_decoder_that_sends_what_cannot_be_costs_its_file(tmp_path, what):
    paths = write(tmp_path, bad=culprit("lies", what, numbered(1)), good=numbered(2))
    with DecodePool(SPEC, workers=1, command=CULPRITS) as pool:
        bad, good = pool.map([Job(paths["bad"]), Job(paths["good"])])
    assert isinstance(bad, Failure) and bad.reason == "the decoder's answer makes no sense"
    assert number(good) == 2


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
    paths = write(tmp_path, **{f"n{n}": numbered(n) for n in range(60)})
    numbers, servers = [], set()
    with DecodePool(SPEC, workers=4) as pool:
        for n, result in enumerate(pool.map((Job(p) for p in paths.values()), window=4)):
            numbers.append(number(result))
            if n in (0, 59):
                servers.update(processes()[0])
            if n == 20:
                os.kill(processes()[0][0], signal.SIGKILL)
    assert numbers == list(range(60))
    assert len(servers) == 2


def test_closing_a_pool_ends_a_map_that_another_thread_reads(tmp_path):
    path = write(tmp_path, a=culprit("hangs"))["a"]
    pool = DecodePool(SPEC, workers=1, command=CULPRITS)
    started, said = threading.Event(), []

    def jobs():
        yield Job(path)
        yield Job(path)
        started.set()
        yield Job(path)

    def run():
        try:
            list(pool.map(jobs()))
        except errors.DecodeError as error:
            said.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(20)
    pool.close()
    thread.join(20)
    assert said and "closed" in said[0]


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
    with pytest.raises(errors.DecodeError, match="cannot be started: .*No such file"):
        DecodePool(SPEC, workers=1, command=["/no/such/program"])


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
