import numpy as np
import pytest

from detection.data import DataError, is_video, missing_frames, read_video, video_rate, write_video, written_rate


def frames(count=5):
    return [np.full((40, 60, 3), (200, 10 * index, 30), np.uint8) for index in range(count)]


@pytest.mark.parametrize("name", ["a.mp4", "a.avi"])
def test_frames_come_back_in_order_and_colour(tmp_path, name):
    assert write_video(tmp_path / name, frames(), rate=12.5) == 5
    found = list(read_video(tmp_path / name))
    assert len(found) == 5
    for frame, written in zip(found, frames(), strict=True):
        assert frame.dtype == np.uint8
        assert frame.flags.c_contiguous
        assert np.abs(frame.astype(int) - written).max() < 12
    assert video_rate(tmp_path / name) == pytest.approx(12.5)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_bad_videos_are_data_errors(tmp_path):
    with pytest.raises(DataError, match="missing video"):
        list(read_video(tmp_path / "absent.mp4"))
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(DataError, match="unreadable video"):
        list(read_video(tmp_path / "text.mp4"))


def test_bad_frames_leave_nothing(tmp_path):
    with pytest.raises(ValueError, match="at least one frame"):
        write_video(tmp_path / "a.mp4", [], rate=10)
    with pytest.raises(ValueError, match="frame 5"):
        write_video(tmp_path / "a.mp4", [*frames(), np.zeros((4, 4, 3), np.uint8)], rate=10)
    assert list(tmp_path.iterdir()) == []


def test_videos_are_told_by_their_extension():
    assert is_video("a.MP4")
    assert not is_video("a.jpg")


@pytest.mark.parametrize(
    ("rate", "written"),
    [
        (25, 25), (24000 / 1001, 23.976), (30000 / 1001, 29.97), (65.535, 65.535), (65.5354, 65.535), (65.536, 65.54),
        (200 / 3, 66.67), (119.7134, 119.71), (655.35, 655.35), (655.36, 655.4), (6553.5, 6553.5), (6553.6, 6554),
        (65535, 65535), (65536, 65535), (90000, 65535), (1e300, 65535), (0.002, 0.002), (1e-9, 0.002),
    ],
)  # fmt: skip
def test_every_rate_is_written(tmp_path, rate, written):
    assert written_rate("a.mp4", rate) == written
    assert written_rate("a.avi", rate) == rate
    assert write_video(tmp_path / "a.mp4", frames(2), rate) == 2
    assert video_rate(tmp_path / "a.mp4") == pytest.approx(written, rel=1e-3)


def test_frames_that_are_missing(tmp_path):
    write_video(tmp_path / "a.avi", frames(5), 10)
    assert missing_frames(tmp_path / "a.avi", 5) is None
    assert missing_frames(tmp_path / "a.avi", 4) == (
        "the file tells of 5 frames, 4 could be read: it is cut off or damaged"
    )


def test_frames_up_to_the_limit(tmp_path):
    write_video(tmp_path / "a.avi", frames(2), 10)
    assert len(list(read_video(tmp_path / "a.avi", max_pixels=40 * 60))) == 2
    with pytest.raises(DataError, match=r"a\.avi: video too large: frames of 60 x 40 pixels, expected at most 2,399"):
        next(read_video(tmp_path / "a.avi", max_pixels=40 * 60 - 1))


@pytest.mark.parametrize("name", ["video_fps119_7", "video_fps66_67"])
def test_shared_faults(shared_faults, tmp_path, name):
    (path,) = (shared_faults / name / "input").iterdir()
    found = list(read_video(path))
    assert missing_frames(path, len(found)) is None
    assert write_video(tmp_path / "out.mp4", found, video_rate(path)) == len(found)
