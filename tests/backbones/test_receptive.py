import pytest
from torch import nn

from detection.backbones import receptive


@pytest.mark.parametrize("text", ["could not create a primitive", "DefaultCPUAllocator: can't allocate memory"])
def test_short_memory_is_no_fault_of_the_network(text):
    class Short(nn.Module):
        def forward(self, _):
            raise RuntimeError(text)

    with pytest.raises(MemoryError, match=text):
        receptive._axis_offsets(Short(), (8,), 0)
