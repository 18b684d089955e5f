import contextlib
import io
import os
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps, features

from detection.data import DataError, image_size, image_sizes, images, list_images, read_image, write_image


def gradient(height=6, width=9):
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 20, columns * 20, rows + columns], axis=-1).astype(np.uint8)


def test_a_path_a_picture_and_an_array_give_the_same(tmp_path):
    pixels = gradient()
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for source in (tmp_path / "a.png", str(tmp_path / "a.png"), Image.fromarray(pixels), pixels, pixels[::-1][::-1]):
        found = read_image(source)
        assert found.dtype == np.uint8
        assert found.flags.c_contiguous
        assert np.array_equal(found, pixels)


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK", "I;16", "I", "YCbCr"])
def test_every_mode_becomes_rgb(mode):
    grey = np.full((4, 5), 200, np.uint8)
    if mode in ("I;16", "I"):
        image = Image.fromarray((grey.astype(np.uint16) << 8) + 17)
        image = image.convert("I") if mode == "I" else image
    else:
        image = Image.fromarray(np.stack([grey] * 3, axis=-1)).convert("L" if mode in ("LA", "L") else "RGB")
        image = image.convert(mode, dither=Image.Dither.NONE)
    wanted = 255 if mode == "1" else 200
    found = read_image(image)
    assert found.shape == (4, 5, 3)
    assert np.abs(found.astype(int) - wanted).max() <= (3 if mode in ("CMYK", "YCbCr") else 26 if mode == "P" else 0)


def test_16_bit_png_and_cmyk_jpeg_files(tmp_path):
    Image.fromarray(np.full((3, 4), 0xABCD, np.uint16)).save(tmp_path / "deep.png")
    assert (read_image(tmp_path / "deep.png") == 0xAB).all()
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "red.jpg", quality=95)
    assert np.abs(read_image(tmp_path / "red.jpg").astype(int) - (255, 0, 0)).max() < 8


def test_transparency_is_laid_over_white(tmp_path):
    clear = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    clear.putpixel((1, 0), (10, 20, 30, 255))
    clear.save(tmp_path / "clear.png")
    assert read_image(tmp_path / "clear.png").tolist() == [[[255, 255, 255], [10, 20, 30]]]
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / "palette.png", transparency=0)
    assert read_image(tmp_path / "palette.png").tolist() == [[[255, 255, 255], [10, 20, 30]]]


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_followed_as_pillow_does(tmp_path, orientation, extension):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{extension}"
    Image.fromarray(gradient()).save(path, exif=exif)
    with Image.open(path) as image:
        upright = np.array(ImageOps.exif_transpose(image).convert("RGB"))
    assert np.array_equal(read_image(path), upright)
    assert image_size(path) == upright.shape[:2]


@pytest.mark.parametrize(("orientation", "size", "shape"), [(6, (9, 6), (9, 6)), (6, (6, 9), (6, 9))])
def test_size_chooses_the_frame(tmp_path, orientation, size, shape):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(gradient()).save(tmp_path / "a.png", exif=exif)
    assert image_sizes(tmp_path / "a.png") == ((9, 6), (6, 9))
    found = read_image(tmp_path / "a.png", size)
    assert found.shape[:2] == shape
    assert np.array_equal(found, gradient()) == (size == (6, 9))
    with pytest.raises(DataError, match="wrong image size"):
        read_image(tmp_path / "a.png", (6, 10))


def test_upright_comes_first_where_both_sizes_are_equal(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(gradient()).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "a.png", (6, 9)), gradient()[::-1, ::-1])


def test_sizes_of_an_array_are_checked():
    with pytest.raises(DataError, match="wrong image size"):
        read_image(gradient(), (9, 6))


def noise_jpeg():
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def test_files_that_cannot_be_used_are_data_errors(tmp_path):
    (tmp_path / "half.jpg").write_bytes(noise_jpeg()[: len(noise_jpeg()) // 2])
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "empty.jpg").write_bytes(b"")
    for name, kind, message in (
        ("half.jpg", "unreadable image", "truncated"),
        ("text.jpg", "unreadable image", r"cannot identify image file '.*text\.jpg"),
        ("empty.jpg", "unreadable image", r"cannot identify image file '.*empty\.jpg"),
        ("absent.jpg", "missing image", "no such file"),
    ):
        with pytest.raises(DataError, match=message) as caught:
            read_image(tmp_path / name)
        assert caught.value.kind == kind
        assert name in caught.value.file
    assert image_size(tmp_path / "half.jpg") == (60, 80)


@pytest.mark.filterwarnings("error")
def test_pixels_up_to_the_limit(tmp_path, monkeypatch):
    """Pillow's own limit warns of no image, and stands as it was afterwards."""
    path = tmp_path / "whole.jpg"
    path.write_bytes(noise_jpeg())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60 * 80 // 3)
    for read in (read_image, image_sizes):
        with pytest.raises(DataError) as caught:
            read(path, max_pixels=60 * 80 - 1)
        assert (caught.value.kind, caught.value.file) == ("image too large", str(path))
        assert "80 x 60 are 4,800 pixels, expected at most 4,799; max_pixels" in caught.value.message
        read(path, max_pixels=60 * 80)
        read(path)
        read(path, max_pixels=None)
    assert read_image(path, (60, 80), max_pixels=1).shape == (60, 80, 3)
    assert Image.MAX_IMAGE_PIXELS == 60 * 80 // 3


def test_an_image_of_a_few_bytes_is_refused_before_it_is_decoded(tmp_path):
    path = tmp_path / "bomb.png"
    Image.new("1", (20_000, 10_000)).save(path)
    assert path.stat().st_size < 50_000
    for read in (read_image, image_size):
        with pytest.raises(DataError, match=r"bomb\.png: image too large: 20000 x 10000 are 200,000,000 pixels"):
            read(path)


@given(st.integers(0, len(noise_jpeg()) - 1), st.integers(0, 255), st.integers(1, len(noise_jpeg())))
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_read_or_refused(tmp_path, place, value, length):
    content = bytearray(noise_jpeg())
    content[place] = value
    (tmp_path / "damaged.jpg").write_bytes(content[:length])
    try:
        found = read_image(tmp_path / "damaged.jpg")
    except DataError:
        return  # nothing else may be raised
    assert found.dtype == np.uint8
    assert found.shape[2] == 3


@pytest.mark.parametrize(
    "array", [np.zeros((4, 5), np.uint8), np.zeros((4, 5, 4), np.uint8), np.zeros((4, 5, 3)), np.zeros((0, 5, 3), "u1")]
)
def test_other_arrays_are_errors(array):
    with pytest.raises(ValueError, match=r"expected \(H, W, 3\) uint8"):
        read_image(array)


def test_other_objects_are_errors():
    with pytest.raises(TypeError, match="expected a path"):
        read_image(None)


def test_folders_are_expanded(tmp_path):
    for name in ("b.JPG", "a.png", ".hidden.jpg", "c.txt", "sub/d.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = list_images([tmp_path / "c.txt", tmp_path, tmp_path / "a.png"])
    assert [path.name for path in found] == ["c.txt", "a.png", "b.JPG"]
    assert list_images([]) == []
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="no image"):
        list_images([tmp_path / "none"])
    with pytest.raises(DataError, match="missing image"):
        list_images([tmp_path / "absent"])


def test_half_a_real_photo_is_refused(shared_data, tmp_path):
    content = (shared_data / "selective-search-matlab" / "000004.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="unreadable image"):
        read_image(tmp_path / "half.jpg")


def test_written_images_come_back(tmp_path):
    write_image(tmp_path / "sub" / "a.png", gradient())
    assert np.array_equal(read_image(tmp_path / "sub" / "a.png"), gradient())
    smooth = np.full((40, 50, 3), (200, 100, 30), np.uint8)
    write_image(tmp_path / "sub" / "a.jpg", smooth)
    assert np.abs(read_image(tmp_path / "sub" / "a.jpg").astype(int) - smooth).max() < 6
    with pytest.raises(ValueError, match=r"expected \(H, W, 3\) uint8"):
        write_image(tmp_path / "sub" / "b.png", gradient().astype(float))
    assert sorted(path.name for path in (tmp_path / "sub").iterdir()) == ["a.jpg", "a.png"]


# How a photo of each kind is written for a test.
READ = {
    "jpeg": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".JPG", ".Jfif"),
    "png": (".png", ".apng", ".PNG"),
    "bmp": (".bmp", ".dib"),
    "tiff": (".tif", ".tiff", ".TIF"),
    "gif": (".gif",),
    "ppm": (".ppm", ".pnm", ".pgm", ".pbm"),
    "webp": (".webp",),
    "jpeg2000": (".jp2", ".j2k", ".j2c", ".jpx", ".jpf"),
    "tga": (".tga",),
    "pcx": (".pcx",),
    "sgi": (".sgi",),
}


@pytest.mark.parametrize(("format", "extension"), [(one, end) for one, ends in READ.items() for end in ends])
def test_what_pillow_reads_is_a_photo(tmp_path, format, extension):
    path = tmp_path / f"x{extension}"
    Image.new("RGB", (24, 16), (200, 100, 50)).save(path, format=format)
    assert list_images([tmp_path]) == [path]
    assert image_size(path) == (16, 24)
    assert np.abs(read_image(path).astype(int) - (200, 100, 50)).max() < 8


@pytest.mark.parametrize("extension", [".heic", ".HEIF", ".nef", ".CR2", ".dng"])
def test_photos_that_cannot_be_read_are_named(tmp_path, extension):
    """A raw photo is a TIFF file to Pillow, with a small preview as its first picture."""
    path = tmp_path / f"x{extension}"
    Image.fromarray(gradient()).save(path, format="tiff")
    assert list_images([tmp_path]) == [path]
    for read in (read_image, image_sizes):
        with pytest.raises(DataError, match=f"unreadable image: .*{extension.lower()} photo: convert it to JPEG"):
            read(path)
        with pytest.raises(DataError, match="missing image"):
            read(tmp_path / f"absent{extension}")


def test_values_beyond_16_bits_are_white_and_negative_ones_black():
    """The ends themselves, and one beyond each."""
    values = np.array([[-1, 0, 0xFF, 0x100, 0xFFFF, 0x10000, 2**31 - 1]], np.int32)
    assert read_image(Image.fromarray(values))[0, :, 0].tolist() == [0, 0, 0, 1, 255, 255, 255]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a pipe with a name")
def test_a_pipe_and_a_folder_are_no_photos(tmp_path):
    """Opening a pipe waits for its writer for ever."""
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    for name in ("pipe.jpg", "folder.jpg"):
        with pytest.raises(DataError, match=f"{name}: unreadable image: expected a file, got a folder, pipe or device"):
            read_image(tmp_path / name)


# Formats with lengths in their files, and how much memory Python may ask for to read 40 x 30 pixels.
WITH_LENGTHS = ("png", "jpeg", "bmp", "tiff", "gif", "webp", "avif", "tga", "pcx", "sgi", "ppm")
MEMORY = 2**22


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of damaged TIFF
@pytest.mark.parametrize("format", WITH_LENGTHS)
def test_a_length_of_4_gb_takes_no_memory(tmp_path, format):
    """Whatever a file claims, no more is asked for than the file has."""
    if format == "avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    stored, path = io.BytesIO(), tmp_path / "x.png"
    Image.fromarray(gradient(30, 40)).save(stored, format=format)
    whole, most = stored.getvalue(), 0
    for place in range(0, min(len(whole), 320), 5):
        for claim in (b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f"):
            path.write_bytes(whole[:place] + claim + whole[place + 4 :])
            tracemalloc.start()
            with contextlib.suppress(DataError):
                read_image(path, max_pixels=10_000)
            most = max(most, tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert most < MEMORY


def test_a_chunk_of_4_gb_behind_the_pixels(tmp_path):
    stored = io.BytesIO()
    Image.fromarray(gradient()).save(stored, format="png")
    whole = bytearray(stored.getvalue())
    place = whole.index(b"IDAT") - 4
    whole[place : place + 4] = b"\xff\xff\xff\xff"
    (tmp_path / "x.png").write_bytes(whole)
    tracemalloc.start()
    with contextlib.suppress(DataError):
        read_image(tmp_path / "x.png")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < MEMORY


@pytest.mark.parametrize("reader", [read_image, image_size])
def test_too_little_memory_is_told_of_the_picture(tmp_path, monkeypatch, reader):
    Image.fromarray(gradient()).save(tmp_path / "a.png")
    monkeypatch.setattr(images, "_orientation", lambda _: bytes(2**62))
    with pytest.raises(DataError, match=r"a\.png: unreadable image: decoding it takes more memory than there is"):
        reader(tmp_path / "a.png")


@pytest.mark.parametrize("reader", [read_image, image_size])
def test_a_machine_short_of_memory_loses_no_picture(tmp_path, monkeypatch, reader):
    """Left out, it would be missing from what is trained, and another call would train something else."""
    Image.fromarray(gradient()).save(tmp_path / "a.png")
    monkeypatch.setattr(images, "_orientation", lambda _: bytes(2**62))
    monkeypatch.setattr(images, "_ORDINARY", 2**62)
    with pytest.raises(MemoryError, match=r"a\.png: decoding it takes more memory than there is$"):
        reader(tmp_path / "a.png")
