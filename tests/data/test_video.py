import numpy as np
import pytest

from detection.data import DataError, is_video, read_video, video_rate, write_video


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
