import pytest

from detection.pipeline.stages.images import MAPS


@pytest.fixture
def features(load_tool, run):
    return lambda command: load_tool("features").main([command, f"--run={run}", "--workers=1"])


def maps(run):
    return sorted((run / "features").rglob("*.safetensors"))


def test_info(features, capsys):
    assert features("info") == 0
    line = capsys.readouterr().out.strip()
    assert "(in force): 13 images" in line
    assert "MiB" in line
    assert "short_sides [96]" in line


def test_verify(features, run, capsys):
    assert features("verify") == 0
    assert "every file is whole" in capsys.readouterr().out
    path = maps(run)[3]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert features("verify") == 1
    output = capsys.readouterr().out
    assert str(path) in output
    assert "1 files are damaged" in output


def test_prune(features, run, open_run, capsys):
    kept = maps(run)
    open_run(run, "--features.short_sides=[64]").source.pyramid(open_run(run).train_images[0])
    MAPS.make(open_run(run))
    MAPS.make(open_run(run, "--features.short_sides=[64]", "--limit=1"))
    assert len(maps(run)) > len(kept)
    MAPS.make(open_run(run))
    assert features("prune") == 0
    assert maps(run) == kept
    assert "MiB freed" in capsys.readouterr().out


@pytest.mark.parametrize(
    "option",
    [
        "--svm.mirrored_positives=true",
        "--svm.mirrored_below=9",
        "--finetune.flips=true",
        "--postprocess.mirrored=true",
    ],
)
def test_prune_keeps_the_mirrored_maps_of_settings_that_use_them(load_tool, run, open_run, option):
    experiment = open_run(run, option)
    experiment.source.pyramid(experiment.train_images[0], mirrored=True)
    kept = maps(run)
    tool = load_tool("features")
    assert tool.main(["prune", f"--run={run}", "--workers=1", option]) == 0
    assert maps(run) == kept
    assert tool.main(["prune", f"--run={run}", "--workers=1", "--svm.mirrored_below=8"]) == 0
    assert len(maps(run)) == len(kept) - 1
