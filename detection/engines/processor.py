"""What kind of processor this is, as far as it decides the last bits of what is computed."""

from llvmlite import binding

from detection.storage import fingerprint


def processor_kind() -> str:
    """Equal on two machines where kernels, convolutions and matrix products are made of the same instructions."""
    import torch

    features = sorted(name for name, there in binding.get_host_cpu_features().items() if there)
    kind = f"{binding.get_host_cpu_name()} with {torch.backends.cpu.get_cpu_capability()}"
    return f"{kind} (instructions {fingerprint(features)[:8]})"
