import pytest

from detection.backbones.torchvision_networks import published_file


@pytest.mark.parametrize(
    ("name", "file", "size"),
    [("alexnet", "alexnet-owt-7be5be79.pth", 244_408_911), ("vgg16", "vgg16-397923af.pth", 553_433_881)],
)
def test_the_file_of_the_first_published_weights(name, file, size):
    address, found = published_file(name)
    assert address.rpartition("/")[2] == file
    assert found == pytest.approx(size, abs=1024)
