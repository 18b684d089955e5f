"""The same bits from the workers of a Dask cluster, whatever becomes of them."""

import dataclasses
import errno
import logging
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from concurrent.futures import BrokenExecutor
from contextlib import closing
from functools import partial, partialmethod
from pathlib import Path
from types import ModuleType

import cloudpickle
import dask
import pytest
from distributed import Client

from detection.commands.detect import detect_files
from detection.commands.extract_features import extract_features
from detection.data import read_image
from detection.pipeline.executors import dask_cluster
from detection.pipeline.executors.dask_cluster import dask_workers
from detection.pipeline.runner import run_all
from detection.pipeline.stages import DETECTIONS, MISSES
from detection.pipeline.stages.images import prepare, prepare_images
from detection.pipeline.work import Work, map_images
from detection.storage import read_yaml
from detection.talking import LOG

ROOT = Path(__file__).resolve().parents[3]
# Workers have the package; tests they have not.
cloudpickle.register_pickle_by_value(sys.modules[__name__])
# They tell times, memory or places.
TOLD_APART = ("run.yaml", "report.html", "settings.csv", "settings.png", "times.csv", "times.png", ".lock")


def files_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in TOLD_APART
    }


def keys_of(run):
    """Of each stage; but for the report's, which tells times too."""
    stages = read_yaml(run / "run.yaml")["stages"].items()
    return {name: stage["key"] for name, stage in stages if name != "report"}


@pytest.fixture
def workers(cluster, tmp_path):
    """The executor, as a command opens it."""
    with dask_workers(cluster.scheduler_address, tmp_path) as executor:
        yield executor


@pytest.fixture(scope="module")
def exported(finished, open_run, tmp_path_factory):
    """The whole run of one process, with vectors. Not to be changed."""
    run = shutil.copytree(finished, tmp_path_factory.mktemp("exported") / "run")
    extract_features(open_run(run), export="pool5")
    return run


@pytest.fixture
def trained(run):
    """A run of which all is gone that workers make."""
    for folder in ("proposals", "features", "detections"):
        shutil.rmtree(run / folder)
    (run / "evaluation/test.misses.json").unlink()
    return run


def make_again(experiment):
    prepare(experiment)
    DETECTIONS.make(experiment)
    MISSES.make(experiment)
    extract_features(experiment, export="pool5")


def test_every_file_of_a_run_is_that_of_one_process(workers, client, exported, shapes, open_run, tmp_path, monkeypatch):
    """Paths are relative, workers stand in another folder, and the photos are at neither's."""
    for folder in ("here", "elsewhere"):
        (tmp_path / folder).mkdir()
    shutil.copytree(shapes, tmp_path / "here/VOCdevkit")
    monkeypatch.chdir(tmp_path / "here")
    before = client.run(os.getcwd)
    client.run(os.chdir, tmp_path / "elsewhere")
    experiment = open_run(Path("run"), "--dataset.root=VOCdevkit", executor=workers)
    run_all(experiment)
    extract_features(experiment, export="pool5")
    for worker, folder in before.items():
        client.run(os.chdir, folder, workers=[worker])
    assert not experiment.work.problems
    assert not list((tmp_path / "elsewhere").iterdir())
    found, expected = files_of(Path("run")), files_of(exported)
    assert found.keys() == expected.keys()
    assert [name for name, content in expected.items() if found[name] != content] == []
    assert keys_of(Path("run")) == keys_of(exported)


@pytest.mark.parametrize("count", [1, 3])
def test_another_number_of_workers(cluster, client, workers, exported, open_run, trained, monkeypatch, count):
    if count == 1:
        submit = Client.submit
        monkeypatch.setattr(Client, "submit", partialmethod(submit, workers=[min(client.nthreads())]))
    else:
        cluster.scale(count)
        client.wait_for_workers(count, timeout=120)
    make_again(open_run(trained, executor=workers))
    assert files_of(trained) == files_of(exported)


def once(marker):
    """Whether nobody has asked before; of several workers one is told so."""
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def die_once(task, marker, item):
    if once(marker):
        os.kill(os.getpid(), signal.SIGKILL)
    return task(item)


def fail_once(task, marker, item):
    if once(marker):
        raise OSError(errno.ENOSPC, "the disk has a moment")
    return task(item)


def disturbed(executor, how, folder):
    """The executor, and the markers of what was done: once in every piece of work."""
    folder.mkdir()
    markers = []

    def compute(task, items):
        markers.append(folder / str(len(markers)))
        return executor(partial(how, task, markers[-1]), items)

    return compute, markers


class TestMishaps:
    @pytest.mark.parametrize("how", [die_once, fail_once])
    def test_in_every_stage(self, workers, client, exported, open_run, trained, tmp_path, how):
        """Maps and proposals, detections, misses, vectors."""
        executor, markers = disturbed(workers, how, tmp_path / "markers")
        make_again(open_run(trained, executor=executor))
        assert len(markers) == 4
        assert all(one.is_file() for one in markers)
        assert files_of(trained) == files_of(exported)

    def test_a_task_that_kills_its_workers(self, cluster, workers, monkeypatch):
        monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)
        with pytest.raises(BrokenExecutor, match="several at the same task, the last tcp://"):
            list(workers(lambda _: os.kill(os.getpid(), signal.SIGKILL), [1]))

    def test_an_error_that_stays(self, workers):
        with pytest.raises(OSError, match="No such file"):
            list(workers(os.stat, ["/no such file"]))

    def test_any_other_error_comes_at_once_and_tells_where_it_is_from(self, workers, tmp_path):
        def root(number):
            with (tmp_path / "asked").open("a") as file:
                file.write("x")
            return math.sqrt(number)

        with pytest.raises(ValueError, match=r"math domain error|nonnegative") as caught:
            list(workers(root, [-1]))
        assert "in root" in caught.value.__notes__[0]
        assert (tmp_path / "asked").read_text() == "x"

    def test_a_data_error_is_listed(self, workers, shapes, tmp_path):
        photo, work = shapes / "VOC2007/JPEGImages/test1.jpg", Work(executor=workers)
        found = [path for path, _ in map_images(read_image, [tmp_path / "none.jpg", photo], work, "photos")]
        assert found == [photo]
        assert [(one.kind, one.file) for one in work.problems] == [("missing image", str(tmp_path / "none.jpg"))]

    def test_notices_of_workers_are_said_here_once(self, workers, caplog):
        caplog.set_level(logging.INFO, LOG.name)
        assert list(workers(LOG.warning, ["photo.jpg: odd"] * 5)) == [None] * 5
        assert [one.levelname for one in caplog.records if one.getMessage() == "photo.jpg: odd"] == ["WARNING"]


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_ctrl_c_leaves_the_cluster_up(cluster, client, exported, shape_options, open_run, trained):
    there = client.nthreads()
    command = [sys.executable, "-m", "detection", "run", *shape_options, f"--run={trained}"]
    environment = {**os.environ, "DASK_SCHEDULER_ADDRESS": cluster.scheduler_address, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if line.startswith("proposals and maps: "):
                process.send_signal(signal.SIGINT)
                break
        lines += process.stderr
    assert process.returncode == 130, lines
    assert lines[-1] == "interrupted: the same command goes on from here\n"
    assert any(re.search(r"Dask: \d+ workers at tcp://.*, dashboard http", line) for line in lines)
    assert not (trained / ".lock").exists()
    assert not list(trained.glob(".tmp-*"))
    # Of those that tests before this one have killed, some may just have come back.
    assert there.items() <= client.nthreads().items()
    with dask_workers(cluster.scheduler_address, trained) as executor:
        make_again(open_run(trained, executor=executor))
    assert files_of(trained) == files_of(exported)


def test_what_goes_out_is_small_and_no_more_than_keeps_workers_busy(workers, client, open_run, tmp_path, monkeypatch):
    sizes, dumps = [], cloudpickle.dumps

    def measured(value):
        sizes.append(len(dumps(value)))
        return dumps(value)

    monkeypatch.setattr(cloudpickle, "dumps", measured)
    experiment = open_run(tmp_path / "run", executor=workers)
    prepare_images(experiment.source, experiment.images, experiment.work)
    count = len(sizes)
    assert count == 13
    assert max(sizes) < 8_000
    with closing(workers(abs, range(1000))) as results:
        next(results)
        assert len(sizes) == count + 3 * len(client.nthreads()) + 1


def test_a_worker_without_the_package(workers, monkeypatch):
    nowhere = ModuleType("nowhere")
    exec("def task(item): pass", nowhere.__dict__)
    monkeypatch.setitem(sys.modules, "nowhere", nowhere)
    with pytest.raises(ImportError, match=r"a worker at tcp://.* lacks .*: No module named 'nowhere'"):
        list(workers(nowhere.task, [1]))


def test_other_weights_are_refused(workers, open_run, tmp_path):
    experiment = open_run(tmp_path / "run", executor=workers)
    source = dataclasses.replace(experiment.source, weights="0" * 16)
    with pytest.raises(ValueError, match=r"features\.weights: default: expected weights of fingerprint 0000"):
        prepare_images(source, experiment.images, experiment.work)
    assert not list((tmp_path / "run/features").rglob("*.safetensors"))


def test_a_worker_of_two_threads_is_refused(tmp_path):
    from distributed import LocalCluster

    with (
        LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as threaded,
        dask_workers(threaded.scheduler_address, tmp_path) as executor,
        pytest.raises(ValueError, match=r"one thread, got 2: start workers with --nthreads 1"),
    ):
        list(executor(abs, [1]))
    assert not list(tmp_path.iterdir())


def test_a_folder_of_photos(workers, finished, shapes, tmp_path, monkeypatch):
    """Relative paths, drawn copies in subfolders, an unreadable photo."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(shapes / "VOC2007/JPEGImages", "photos/more")
    Path("photos/bad.jpg").write_bytes(b"nothing")
    detector = os.path.relpath(finished / "detector")
    found = {}
    for name, cluster in (("alone", None), ("together", workers)):
        work = Work()
        detect_files(detector, ["photos"], name, work, cluster=cluster)
        assert [Path(one.file).name for one in work.problems] == ["bad.jpg"]
        found[name] = files_of(Path(name))
    assert "more/test1.jpg" in found["alone"]
    assert found["alone"] == found["together"]


class TestNoCluster:
    def test_without_the_package(self, monkeypatch, tmp_path):
        monkeypatch.setattr(dask_cluster, "find_spec", lambda _: None)
        with pytest.raises(ImportError, match=r'pip install "sppnet\[dask\]"'), dask_workers("tcp://a:1", tmp_path):
            pass

    def test_nobody_answers(self, tmp_path):
        with (
            dask.config.set({"distributed.comm.timeouts.connect": "300ms"}),
            dask_workers("tcp://127.0.0.1:1", tmp_path) as executor,
            pytest.raises(ConnectionError, match=r"--scheduler tcp://127\.0\.0\.1:1: expected the address"),
        ):
            executor(abs, [1])

    def test_workers_are_waited_for(self, tmp_path, monkeypatch, caplog):
        from distributed import LocalCluster

        caplog.set_level(logging.INFO, LOG.name)
        monkeypatch.setattr(dask_cluster, "_PATIENCE", 0.2)
        monkeypatch.setattr(dask_cluster, "_KNOWN", 0.0)
        with (
            LocalCluster(n_workers=0, processes=False, threads_per_worker=1, dashboard_address=None) as empty,
            dask_workers(empty.scheduler_address, tmp_path) as executor,
        ):
            log = LOG.log
            monkeypatch.setattr(LOG, "log", lambda *told: (log(*told), empty.scale(1)))
            assert list(executor(abs, [-1])) == [1]
        assert "Dask: no workers at inproc://" in caplog.text
        assert "Dask: no worker at inproc://" in caplog.text

    def test_the_scheduler_goes(self, tmp_path):
        from distributed import LocalCluster

        gone = LocalCluster(n_workers=0, processes=False, dashboard_address=None)
        with (
            dask.config.set({"distributed.comm.timeouts.connect": "300ms"}),
            gone,
            dask_workers(gone.scheduler_address, tmp_path) as executor,
        ):
            results = executor(abs, [-1])
            gone.close()
            with pytest.raises(ConnectionError, match="the connection to the scheduler at inproc"):
                next(results)


def test_a_command_without_work_asks_for_no_cluster(run, shape_options, load_tool, capsys):
    assert load_tool("evaluate").main([*shape_options, f"--run={run}", "--scheduler=tcp://127.0.0.1:1"]) == 0
    assert not list(run.glob(".tmp-*"))


def test_nothing_loads_dask_without_a_scheduler():
    code = "import sys, detection.commands.run_pipeline; print({'dask', 'distributed'} & {*sys.modules})"
    assert subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT) == "set()\n"
