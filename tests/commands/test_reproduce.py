"""The paper's experiment from end to end, on small archives of the official layout from a server on the loopback."""

import hashlib
import io
import json
import re
import tarfile

import pytest
import torch

from detection.backbones.names import HEAD_BACKBONES
from detection.backbones.networks import cut_network, network_spec, random_state
from detection.commands import reproduce
from detection.data import VOC_CLASSES, write_digits
from detection.data.digits import DIGIT_CLASSES
from detection.data.downloads import VOC2007_ARCHIVES, Archive
from detection.pipeline.stages.images import prepare
from tests.loopback import Server

SMALL = (
    "--proposals.preset=single",
    "--proposals.max_windows=60",
    "--features.short_sides=96",
    "--finetune.widths=16,16",
    "--finetune.iterations=6,4",
    "--finetune.initial=gaussian",
    "--finetune.snapshot_batches=2",
    "--svm.norm.images=5",
    "--regression.min_examples=3",
    "--intervals.resamples=20",
    "--workers=1",
    "--download.retries=0",
    "--download.wait=0",
)
PHOTOS = {"trainval": 30, "test": 10}


def voc_archive(folder, archive, split):
    """A tar as the official one of this split, of photos of digits with VOC's class names."""
    text = (folder / "ImageSets" / "Main" / f"{split}.txt").read_text()
    sets = {f"{split}.txt": text}
    found = set()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:

        def add(name, content):
            about = tarfile.TarInfo(f"VOCdevkit/VOC2007/{name}")
            about.size = len(content)
            tar.addfile(about, io.BytesIO(content))

        for number, image_id in enumerate(text.split()):
            xml = (folder / "Annotations" / f"{image_id}.xml").read_text()
            # Ten digits, twenty classes: the first ten in every other photo, the others between.
            names = dict(zip(DIGIT_CLASSES, VOC_CLASSES[10 * (number % 2) :], strict=False))
            xml = re.sub("<name>(.*?)</name>", lambda one, names=names: f"<name>{names[one[1]]}</name>", xml)
            found |= set(re.findall("<name>(.*?)</name>", xml))
            add(f"Annotations/{image_id}.xml", xml.encode())
            add(f"JPEGImages/{image_id}.jpg", (folder / "JPEGImages" / f"{image_id}.jpg").read_bytes())
        for name in VOC_CLASSES:
            sets[f"{name}_{split}.txt"] = "".join(f"{one} -1\n" for one in text.split())
        for name, content in sets.items():
            add(f"ImageSets/Main/{name}", content.encode())
    content = packed.getvalue()
    return content, Archive(archive.name, hashlib.md5(content).hexdigest(), archive.holds, len(content)), found


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server of both archives and of AlexNet's convolutions, untrained, in the place of the real ones."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("COLUMNS", "200")
    folder = write_digits(tmp_path / "digits", **PHOTOS) / "VOC2007"
    with Server() as server:
        archives = []
        for archive, split in zip(VOC2007_ARCHIVES, PHOTOS, strict=True):
            content, small, classes = voc_archive(folder, archive, split)
            server.files[f"/voc/{small.name}"] = content
            archives.append(small)
            assert split == "test" or classes == set(VOC_CLASSES)
        state = random_state(cut_network(network_spec("alexnet"), (16,)), 0)
        packed = io.BytesIO()
        torch.save({name: torch.from_numpy(value) for name, value in state.items()}, packed)
        weights = packed.getvalue()
        name = f"/alexnet-{hashlib.sha256(weights).hexdigest()[:8]}.pth"
        server.files[name] = weights
        published = (f"{server.address}{name}", len(weights))
        monkeypatch.setattr(reproduce, "VOC2007_ARCHIVES", tuple(archives))
        monkeypatch.setattr(reproduce.torchvision_networks, "published_file", lambda _: published)
        yield server


def test_cut_twice_and_gone_on_with(server, tmp_path, monkeypatch, capsys):
    root = tmp_path / "voc"
    words = [f"--root={root}", "--backbone=alexnet", f"--address={server.address}/voc", *SMALL]

    assert reproduce.main([*words, "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert f"to fetch: {sum(map(len, server.files.values())):,} bytes: VOCtrainval_06-Nov-2007.tar" in told
    assert re.search(r"time: [\d,.]+ hours at least", told)
    assert (server.asked, root.exists()) == ([], False)

    # In the first archive, and again before another byte has come.
    server.cut_after = [5000, 0]
    assert reproduce.main(words) == 1
    # A run that has not begun tells what it costs, one that goes on does not (`check_end`).
    begun = capsys.readouterr()
    assert told.splitlines()[0] in begun.out
    assert re.search(r"time: [\d,.]+ hours at least", begun.out)
    assert "given up at 5000 bytes" in begun.err

    def cut(experiment):
        prepare(experiment)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(reproduce, "run_all", cut)
        assert reproduce.main(words) == 130
    assert server.asked == [None, "bytes=5000-", "bytes=5000-", None, None]
    capsys.readouterr()

    assert reproduce.main(words) == 0
    assert len(server.asked) == 5
    check_end(capsys.readouterr(), root / "runs" / "voc2007_paper-alexnet")


def check_end(told, run):
    assert "proposals: done before" in told.err
    assert "features: done before" in told.err
    assert "to fetch" not in told.out + told.err
    evaluation = json.loads((run / "evaluation" / "test.json").read_text())
    # A row a class: its AP here, and R-CNN's with AlexNet.
    published = reproduce.comparison({}, None, "alexnet")[0]
    rcnn = list(published.columns[2].cells)
    for name, cell in zip(VOC_CLASSES, rcnn, strict=False):
        ap = evaluation["per_class"][name]
        assert re.search(rf"^{name} +{'-' if ap is None else f'{100 * ap:.1f}'} +{cell} ", told.out, re.MULTILINE), name
    assert re.search(rf"^mAP +{100 * evaluation['mAP']:.1f} +58\.5 +59\.2 ", told.out, re.MULTILINE)
    assert "[1] R-CNN with alexnet: R-CNN report (arXiv 1311.2524v5), Table 2" in told.out
    assert "other than voc2007_paper: " in told.out + told.err
    assert evaluation["differs_from_preset"]["features.backbone"] == "alexnet"


def test_zf5_needs_a_file_of_weights(capsys):
    assert reproduce.main(["--backbone=zf5"]) == 2
    assert "nobody publishes its weights; expected --weights FILE" in capsys.readouterr().err


@pytest.mark.parametrize(("protocol", "levels"), [("paper", (7, 3, 2, 1)), ("released", (1, 2, 3, 7))])
def test_vgg16_pools_what_its_fc6_reads(monkeypatch, protocol, levels):
    seen = []
    monkeypatch.setattr(reproduce, "_tell_cost", lambda experiment, *_: seen.append(experiment.settings))
    assert reproduce.main(["--backbone=vgg16", f"--protocol={protocol}", "--dry-run", "--workers=1"]) == 0
    assert (seen[0].preset, seen[0].features.levels) == (f"voc2007_{protocol}", levels)


def test_own_weights_take_the_place_of_published_ones(monkeypatch):
    seen = []
    monkeypatch.setattr(reproduce, "_tell_cost", lambda experiment, root, files: seen.append((experiment, files)))
    assert reproduce.main(["--backbone=zf5", "--weights=mine.pth", "--dry-run", "--workers=1"]) == 0
    settings = seen[0][0].settings
    assert (settings.features.weights, settings.finetune.initial) == ("mine.pth", "mine.pth")
    assert "mine.pth" not in seen[0][1]


def test_fetched_are_those_with_weights_of_torchvision():
    assert reproduce._FETCHED == HEAD_BACKBONES
