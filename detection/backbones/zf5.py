"""ZF-5, the network of the SPP-net paper: Zeiler and Fergus's, with five convolutions (section 3.1, Table 1).

Nobody publishes weights of it any more; they are read from a file of the user's. Its tensors are conv1.weight
(96, 3, 7, 7), conv2.weight (256, 96, 5, 5), conv3.weight (384, 256, 3, 3), conv4.weight (384, 384, 3, 3), conv5.weight
(256, 384, 3, 3), and convN.bias, for RGB input in grey levels minus 128 (paper, appendix A: the mean that was
subtracted on VOC). Caffe's blobs have these shapes, with the channels of conv1 in the order BGR.
"""

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional

from detection.backbones.spec import NetworkSpec

# SPP-net paper, appendix A: a constant 128 in place of ImageNet's mean image; grey levels are not divided.
ZF5_MEAN = (128.0, 128.0, 128.0)
ZF5_STD = (1.0, 1.0, 1.0)


class WithinChannelResponseNorm(nn.Module):
    """x (1 + alpha m)^-beta, m the mean of x^2 over `size` x `size` cells of the same channel, zeros beyond the border.

    Caffe's LRN with norm_region WITHIN_CHANNEL.
    """

    is_traced_whole = True  # its code asks for the size of its input

    def __init__(self, size: int, alpha: float, beta: float) -> None:
        super().__init__()
        self.size, self.alpha, self.beta = size, alpha, beta

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) -> the same shape."""
        mean = functional.avg_pool2d(values.square(), self.size, stride=1, padding=self.size // 2)
        return values * (1 + self.alpha * mean).pow(-self.beta)


class ZF5(nn.Module):
    """conv1 7x7/2 96, norm, pool 3x3/2, conv2 5x5/2 256, norm, pool 3x3/2, conv3 to conv5 3x3 384, 384, 256.

    released False: every layer with filters of p px is padded with floor(p / 2), as the paper's appendix A has it, so
    that cell 0 looks at pixel 0; the norm is Krizhevsky et al.'s (NIPS 2012, section 3.3: over 5 channels, k = 2,
    alpha 1e-4, beta 0.75; the paper names none). released True: padding and norm of the released
    model-defs/Zeiler_conv5.prototxt: conv1 is padded with 1, its pools and conv2 with 0, whose cell 0 then looks at
    pixel 21, counted from 1, as the released pooling says; norm within channels, 3 x 3, alpha 5e-5, beta 0.75.
    """

    def __init__(self, released: bool = False) -> None:
        super().__init__()
        wide, narrow, pool = (1, 0, 0) if released else (3, 2, 1)
        self.conv1 = nn.Conv2d(3, 96, 7, stride=2, padding=wide)
        self.conv2 = nn.Conv2d(96, 256, 5, stride=2, padding=narrow)
        self.conv3 = nn.Conv2d(256, 384, 3, padding=1)
        self.conv4 = nn.Conv2d(384, 384, 3, padding=1)
        self.conv5 = nn.Conv2d(384, 256, 3, padding=1)
        for number in range(1, 6):
            self.add_module(f"relu{number}", nn.ReLU())
        for number in (1, 2):
            # Caffe rounds the number of pooled cells up; with the paper's padding that would pool padding alone.
            self.add_module(f"pool{number}", nn.MaxPool2d(3, stride=2, padding=pool, ceil_mode=released))
            norm = WithinChannelResponseNorm(3, 5e-5, 0.75) if released else nn.LocalResponseNorm(5, 1e-4, 0.75, 2.0)
            self.add_module(f"norm{number}", norm)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) -> (N, 256, h, w), stride 16."""
        maps = self.pool1(self.norm1(self.relu1(self.conv1(images))))
        maps = self.pool2(self.norm2(self.relu2(self.conv2(maps))))
        maps = self.relu4(self.conv4(self.relu3(self.conv3(maps))))
        return self.relu5(self.conv5(maps))


def network_spec(name: str) -> NetworkSpec:
    """``zf5``, or ``zf5_released`` with the padding and normalisation of the released code; without weights."""
    with torch.device("meta"):
        network = ZF5(released=name == "zf5_released")
    return NetworkSpec(name, network.eval(), {"relu5": 16}, ZF5_MEAN, ZF5_STD)


def published_weights(name: str) -> Mapping[str, torch.Tensor]:
    """There are none. Raises ValueError saying which tensors a file of them has."""
    state = network_spec(name).network.state_dict()
    layers = ", ".join(f"{key} {tuple(value.shape)}" for key, value in state.items())
    raise ValueError(
        f"weights: nobody publishes {name}'s; give the path of a state dict (.safetensors or .pth) with the names "
        f"and shapes {layers}, for RGB input in grey levels minus 128, or random"
    )
