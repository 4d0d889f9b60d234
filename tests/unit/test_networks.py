"""Networks by name, their input and output, and the way through a checkpoint and back."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from laq.checkpoints import packing
from laq.models import networks, small_resnet
from laq.utils.errors import ConfigError

torch.set_num_threads(1)


def spec(**changes) -> dict:
    return {"name": "small_resnet", "classes": 5, "channels": 1, "widths": [3, 4, 6], **changes}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [8, 32])
def test_logits_of_images_of_any_side_and_channels(channels, side):
    network = networks.create(**spec(channels=channels)).eval()
    x = torch.rand(2, channels, side, side)
    assert network(x).shape == (2, 5)
    assert network.stages(network.stem(x)).shape == (2, 6, side // 4, side // 4)


def test_default_widths_starve_the_last_stage_of_samples():
    # 64 images, 1 patch of 9 of a 4×4 map, fewer than half the 2304 inputs of a filter.
    network = networks.create("small_resnet", 100)
    assert network.stages[-1].conv2.weight.shape == (256, 256, 3, 3)
    with torch.no_grad():
        assert network.stages[:3](network.stem(torch.rand(1, 3, 32, 32))).shape[-1] == 8


def test_shortcuts_are_convolutions_where_the_shape_changes():
    network = networks.create(**spec(widths=[4, 4, 6]))
    assert isinstance(network.stages[0].shortcut, nn.Identity)  # same width, stride 1
    for stage, inputs in ((1, 4), (2, 4)):
        convolution, normalization = network.stages[stage].shortcut
        assert convolution.weight.shape == (network.stages[stage].conv1.out_channels, inputs, 1, 1)
        assert convolution.stride == (2, 2)
        assert isinstance(normalization, nn.BatchNorm2d)


def test_a_block_is_two_convolutions_and_the_shortcut():
    torch.manual_seed(0)
    block = small_resnet.BasicBlock(2, 3, stride=2).eval()
    for module in (block.bn1, block.bn2, block.shortcut[1]):
        nn.init.normal_(module.weight)
        nn.init.normal_(module.bias)
    x = torch.randn(2, 2, 6, 6)
    functional = nn.functional

    def normalized(y: torch.Tensor, bn: nn.BatchNorm2d) -> torch.Tensor:
        scale = bn.weight / (bn.running_var + bn.eps).sqrt()
        return (y - bn.running_mean[:, None, None]) * scale[:, None, None] + bn.bias[:, None, None]

    y = functional.conv2d(x, block.conv1.weight, stride=2, padding=1)
    y = functional.conv2d(normalized(y, block.bn1).clamp(min=0), block.conv2.weight, padding=1)
    skip = normalized(functional.conv2d(x, block.shortcut[0].weight, stride=2), block.shortcut[1])
    torch.testing.assert_close(block(x), (normalized(y, block.bn2) + skip).clamp(min=0))


def test_weights_follow_the_seed():
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(networks.create(**spec()).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["head.weight"], states[2]["head.weight"])


def test_a_trained_network_comes_back_from_its_checkpoint(tmp_path):
    torch.manual_seed(0)
    network = networks.create(**spec())
    for _ in range(3):  # BatchNorm statistics and counters move away from their first values
        network(torch.rand(8, 1, 8, 8) * 3)
    path = tmp_path / "original.safetensors"
    packing.save(path, network.state_dict(), {"network": spec(), "variant": "original"})
    loaded = packing.load(path)
    assert type(loaded) is small_resnet.SmallResNet
    assert not loaded.training
    state = network.state_dict()
    assert loaded.state_dict().keys() == state.keys()
    for name, tensor in loaded.state_dict().items():
        assert tensor.dtype == state[name].dtype
        assert torch.equal(tensor, state[name]), name
    assert int(loaded.stem[1].num_batches_tracked) == 3
    x = torch.rand(2, 1, 8, 8)
    assert torch.equal(loaded(x), network.eval()(x))


def test_predictions_are_those_of_a_direct_forward_pass():
    torch.manual_seed(0)
    network = networks.create(**spec())
    images = torch.randint(0, 256, (7, 1, 8, 8), dtype=torch.uint8)
    logits = networks.predict(network.train(), images, torch.device("cpu"), batch_size=3)
    assert not network.training
    assert not logits.requires_grad
    assert logits.shape == (7, 5) and logits.dtype == torch.float32
    torch.testing.assert_close(logits, network(images.float() / 255).detach())


def test_the_head_is_the_last_layer():
    network = networks.create(**spec())
    assert networks.head(network) is network.head
    two = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Conv2d(3, 4, 1), nn.ReLU())
    assert networks.head(two) is two[2]
    with pytest.raises(ConfigError, match="ReLU has no convolution and no linear layer"):
        networks.head(nn.ReLU())


class Ends(nn.Module):
    """Two layers give the logits, one of them twice; the last that was made is not among them."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(4, 3, 1), nn.Linear(4, 3)
        self.before = nn.Conv2d(1, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.before(x).relu_()
        ends = self.two(x.mean((2, 3))) + self.two(x.amax((2, 3)))
        return ends + nn.functional.relu(self.one(x), inplace=True).mean((2, 3))


def test_output_layers_are_those_behind_which_no_other_comes():
    images = torch.randint(0, 256, (2, 1, 8, 8), dtype=torch.uint8)
    network = networks.create(**spec()).eval()
    assert networks.output_layers(network, images) == ["head"]
    ends = Ends().requires_grad_(False)
    assert networks.output_layers(ends, images) == ["two", "one"]
    assert not any(module._forward_hooks for module in ends.modules())
    with pytest.raises(ConfigError, match="AdaptiveAvgPool2d computes its logits with no conv"):
        networks.output_layers(nn.AdaptiveAvgPool2d(1), images)


def test_loading_sees_the_versions_of_the_network_s_modules():
    network = networks.create("mnasnet0_5", 4, stem="standard", side=32)
    state = {name: value + 1 for name, value in network.state_dict().items()}
    networks.load_state(network, state)  # which without them says that version should be 1 or 2
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("inputs", "side", "stride", "onednn"),
    [
        (3, 1, 2, False),
        (7, 1, 2, False),
        (1, 1, 2, True),
        (8, 1, 2, True),
        (3, 1, 1, True),
        (3, 3, 2, True),
    ],
)
def test_no_network_is_trained_by_kernels_that_corrupt_memory(inputs, side, stride, onednn):
    layer = nn.Conv2d(inputs, 4, side, stride, side // 2)
    layer.to(memory_format=torch.channels_last)
    images = torch.rand(13, inputs, 8, 8).contiguous(memory_format=torch.channels_last)
    images.requires_grad_()
    with networks.safe_kernels(nn.Sequential(nn.ReLU(), layer)):
        assert torch.backends.mkldnn.enabled == onednn
        for _ in range(5):
            layer(images).sum().backward()
    assert torch.backends.mkldnn.enabled
    expected = torch.autograd.functional.jacobian(
        lambda w: nn.functional.conv2d(images.double(), w, None, stride, side // 2).sum(),
        layer.weight.double(),
    )
    torch.testing.assert_close(layer.weight.grad.double(), 5 * expected, rtol=1e-4, atol=1e-3)


class Viewing(nn.Module):
    """Flattens by ``view``, as many networks do, which takes contiguous activations alone."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.linear = nn.Conv2d(3, 4, 3), nn.Linear(4 * 9, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.max_pool2d(self.conv(x).relu(), 2)
        return self.linear(y.view(len(y), -1))


def test_a_network_runs_in_the_layout_that_it_takes():
    images = torch.randint(256, (5, 3, 8, 8), dtype=torch.uint8)
    for network, layout in (
        (networks.create(**spec(channels=3)).eval(), torch.channels_last),
        (Viewing(), torch.contiguous_format),
    ):
        assert networks.memory_format(network, networks.to_input(images)) == layout
        with torch.no_grad():
            logits = network(networks.to_input(images))
        torch.testing.assert_close(networks.predict(network, images, torch.device("cpu")), logits)
