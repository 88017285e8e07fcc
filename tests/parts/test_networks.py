"""Networks and heads: published parameter counts, structure, and refusals."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from huggingface_hub import constants
from torch import nn

import zoo.registry as registry
from zoo.contracts.head import Head, Trunk
from zoo.core.errors import ZooError
from zoo.layers.weights import DerivedWeight


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def count(network):
    return sum(p.numel() for p in network.parameters())


def make(kind, name, image_size=32, channels=3, **options):
    if kind == "generator":
        options.setdefault("latent_dim", 16)
    return registry.create(kind, name, image_size=image_size, channels=channels, **options)


SAGAN = {"attention": 16, "spectral_norm": True}
GENERATOR_COUNTS = [
    ("mlp", 28, 1, {"latent_dim": 100}, 1_510_032),
    ("dcgan", 32, 3, {"latent_dim": 100}, 1_068_928),
    ("dcgan", 32, 1, {"latent_dim": 100}, 1_066_880),
    ("dcgan", 64, 3, {"latent_dim": 100}, 3_576_704),
    ("dcgan", 64, 1, {"latent_dim": 100}, 3_574_656),
    ("resnet", 32, 3, {"latent_dim": 128}, 4_276_739),
    ("resnet", 32, 3, {"latent_dim": 128, "num_classes": 10}, 4_304_387),
    ("resnet", 32, 3, {"latent_dim": 128, "num_classes": 100}, 4_580_867),
    ("resnet", 48, 3, {"latent_dim": 128}, 4_878_083),
    ("resnet", 64, 3, {"latent_dim": 128}, 12_220_675),
    ("resnet", 128, 3, {"latent_dim": 128}, 32_150_787),
    ("resnet", 32, 3, {"latent_dim": 128, "base_channels": 128}, 1_204_483),
    ("resnet", 32, 3, {"latent_dim": 128, "num_classes": 10} | SAGAN, 4_386_308),
]
DISCRIMINATOR_COUNTS = [
    ("mlp", 28, 1, {}, 533_505),
    ("dcgan", 32, 3, {}, 663_296),
    ("dcgan", 32, 1, {}, 661_248),
    ("dcgan", 64, 3, {}, 2_765_568),
    ("dcgan", 64, 1, {}, 2_763_520),
    ("resnet", 32, 3, {}, 1_053_825),
    ("resnet", 32, 3, {"spectral_norm": False}, 1_053_825),
    ("resnet", 32, 3, {"num_classes": 10}, 1_055_105),
    ("projection", 32, 3, {"num_classes": 10}, 1_055_105),
    ("projection", 32, 3, {"num_classes": 100}, 1_066_625),
    ("projection", 32, 3, {"num_classes": 10, "attention": 16}, 1_075_586),
    ("resnet", 48, 3, {}, 10_141_441),
    ("resnet", 64, 3, {}, 10_141_441),
    ("resnet", 128, 3, {}, 29_017_857),
]


@pytest.mark.parametrize(("name", "size", "channels", "options", "parameters"), GENERATOR_COUNTS)
def test_generators_have_the_published_number_of_parameters(
    name, size, channels, options, parameters
):
    assert count(make("generator", name, size, channels, **options)) == parameters


@pytest.mark.parametrize(
    ("name", "size", "channels", "options", "parameters"), DISCRIMINATOR_COUNTS
)
def test_discriminators_have_the_published_number_of_parameters(
    name, size, channels, options, parameters
):
    assert count(make("discriminator", name, size, channels, **options)) == parameters


def test_sn_cnn_follows_the_papers_table():
    """Table 3 of arXiv:1802.05957: kernel, stride and channels; dense on M/8 x M/8 x 512."""
    d = make("discriminator", "sn_cnn", 32)
    convs = [(c.kernel_size[0], c.stride[0], c.out_channels) for c in d.convs]
    assert convs == [
        (3, 1, 64),
        (4, 2, 64),
        (3, 1, 128),
        (4, 2, 128),
        (3, 1, 256),
        (4, 2, 256),
        (3, 1, 512),
    ]
    assert d.head.score.in_features == 512 * 4 * 4


SMALL = {
    ("generator", "dcgan"): {"base_channels": 2},
    ("generator", "resnet"): {"base_channels": 4},
    ("generator", "mlp"): {"width": 8},
    ("discriminator", "dcgan"): {"base_channels": 2},
    ("discriminator", "resnet"): {"base_channels": 2},
    ("discriminator", "projection"): {"base_channels": 2, "num_classes": 3},
    ("discriminator", "sn_cnn"): {"base_channels": 2},
    ("discriminator", "mlp"): {"width": 8},
    ("discriminator", "timm"): {"model": "test_resnet"},
}
CONVOLUTIONAL = [k for k in SMALL if k[1] != "mlp"]


@pytest.mark.parametrize("size", [8, 12, 20, 28, 36, 48, 64, 96, 128])
@pytest.mark.parametrize(("kind", "name"), SMALL)
def test_every_multiple_of_four(kind, name, size):
    channels = {8: 2, 28: 1}.get(size, 3)
    network = make(kind, name, size, channels, **SMALL[kind, name]).eval()
    y = torch.tensor([0, 2])
    images = torch.zeros(2, channels, size, size)
    with torch.no_grad():
        if kind == "generator":
            assert network(torch.randn(2, 16), y).shape == images.shape
        else:
            assert network(images, y).shape == (2,)


@pytest.mark.parametrize(("kind", "name"), CONVOLUTIONAL)
def test_other_sizes_are_refused_with_the_nearest(kind, name):
    with pytest.raises(ZooError, match=rf"{kind} {name} .*image_size=30.* 28 or 32"):
        make(kind, name, 30, **SMALL[kind, name])
    with pytest.raises(ZooError, match="nearest is 8"):
        make(kind, name, 4, **SMALL[kind, name])


# DCGAN: matrix products in the place of convolutions on 1x1 maps


@pytest.mark.usefixtures("float64")
def test_dcgan_generator_is_the_papers_stack_of_transposed_convolutions():
    g = make("generator", "dcgan", 16, 2, base_channels=4)
    z = torch.randn(3, 16)
    # Linear rows are (h, w, c); a transposed convolution's weight is (in, c, h, w).
    kernel = g.project.weight.T.view(16, 4, 4, 8).permute(0, 3, 1, 2)
    h = F.conv_transpose2d(z[:, :, None, None], kernel)
    h = F.batch_norm(h, None, None, g.layers[0].weight, g.layers[0].bias, training=True).relu()
    h = F.conv_transpose2d(h, g.layers[2].weight, stride=2, padding=1)
    h = F.batch_norm(h, None, None, g.layers[3].weight, g.layers[3].bias, training=True).relu()
    want = F.conv_transpose2d(h, g.layers[5].weight, stride=2, padding=1).tanh()
    torch.testing.assert_close(g(z), want)


@pytest.mark.usefixtures("float64")
def test_dcgan_discriminator_ends_in_the_papers_convolution_to_1x1():
    d = make("discriminator", "dcgan", 16, 2, base_channels=4).eval()
    x = torch.randn(3, 2, 16, 16)
    kernel = d.head.score.weight.view(1, 4, 4, 8).permute(0, 3, 1, 2)
    torch.testing.assert_close(d(x), F.conv2d(d.layers(x), kernel).flatten())


def test_no_norm_at_the_ends_of_dcgan():
    d = make("discriminator", "dcgan", 64)
    assert [type(m).__name__ for m in d.layers[:3]] == ["Conv2d", "LeakyReLU", "Conv2d"]
    g = make("generator", "dcgan", 64)
    assert isinstance(g.layers[-1], nn.ConvTranspose2d)


@pytest.mark.parametrize(
    ("norm", "per_sample", "batch_statistics"),
    [
        ("auto", False, True),
        ("auto", True, False),
        ("batch", True, True),
        ("layer", False, False),
        ("none", False, False),
    ],
)
def test_dcgan_norm(norm, per_sample, batch_statistics):
    d = make("discriminator", "dcgan", norm=norm, per_sample=per_sample)
    assert d.has_batch_statistics is batch_statistics


# Labels


@pytest.mark.parametrize("name", ["mlp", "dcgan"])
def test_labels_are_a_one_hot_extension_of_the_latent(name):
    g = make("generator", name, 8, 1, num_classes=3, **SMALL["generator", name]).eval()
    plain = make("generator", name, 8, 1, latent_dim=19, **SMALL["generator", name]).eval()
    plain.load_state_dict(g.state_dict())
    z, y = torch.randn(3, 16), torch.tensor([2, 0, 1])
    one_hot = F.one_hot(y, 3).float()
    torch.testing.assert_close(g(z, y), plain(torch.cat([z, one_hot], 1)))


@pytest.mark.parametrize("name", ["mlp", "dcgan", "resnet"])
def test_a_conditional_generator_asks_for_labels(name):
    g = make("generator", name, 8, 1, num_classes=3, **SMALL["generator", name])
    with pytest.raises(ZooError, match="needs labels"):
        g(torch.randn(2, 16))


def test_conditional_resnet_generator_starts_deterministic_and_learns_the_label():
    g = make("generator", "resnet", 8, 1, num_classes=3, base_channels=8).eval()
    z = torch.randn(1, 16).expand(2, 16)
    first, second = g(z, torch.tensor([0, 1]))
    assert torch.equal(first, second)
    nn.init.normal_(g.blocks[0].norm1.scale_and_shift.weight)
    first, second = g(z, torch.tensor([0, 1]))
    assert not torch.allclose(first, second)


def test_projection_head():
    trunk = Trunk(features=5, num_classes=3, image_size=8)
    head = registry.create("head", "projection", trunk=trunk)
    phi, y = torch.randn(4, 5), torch.tensor([2, 0, 1, 1])
    psi = phi @ head.score.weight[0] + head.score.bias
    want = psi + torch.stack([phi[i] @ head.embedding.weight[y[i]] for i in range(4)])
    torch.testing.assert_close(head(phi, y), want)
    with pytest.raises(ZooError, match="needs labels"):
        head(phi)


def test_label_input_head_adds_a_plane():
    d = make("discriminator", "mlp", 8, 2, num_classes=3, head="label_input")
    x, y = torch.randn(2, 2, 8, 8), torch.tensor([2, 0])
    prepared = d.head.prepare(x, y)
    assert torch.equal(prepared[:, :2], x)
    assert torch.equal(prepared[:, 2].flatten(1), d.head.plane.weight[y])
    assert d.layers[0].in_features == 3 * 64


@pytest.mark.parametrize("head", ["projection", "label_input"])
def test_heads_that_need_labels_refuse_data_without(head):
    with pytest.raises(ZooError, match="needs labels, but num_classes is 0"):
        make("discriminator", "mlp", head=head)


def test_default_heads():
    assert "unconditional" in type(make("discriminator", "mlp").head).__module__
    assert "projection" in type(make("discriminator", "mlp", num_classes=3).head).__module__


def test_projection_discriminator_refuses_data_without_labels():
    with pytest.raises(ZooError, match="num_classes is 0"):
        make("discriminator", "projection")


def test_a_head_class_of_ones_own():
    class Mean(Head):
        def forward(self, features, y=None):
            return features.mean(1)

    d = make("discriminator", "mlp", 8, 1, width=8, head=Mean)
    x = torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(d(x), d.features(x).mean(1))


# ResNet


@pytest.mark.parametrize("head", ["unconditional", "projection"])
@pytest.mark.parametrize("name", ["resnet", "projection", "sn_cnn"])
def test_every_weight_of_a_spectral_norm_discriminator_is_normalised(name, head):
    options = SMALL["discriminator", name] | {"num_classes": 3, "head": head}
    d = make("discriminator", name, **options)
    layers = [m for m in d.modules() if isinstance(m, nn.Conv2d | nn.Linear | nn.Embedding)]
    assert layers
    assert all(isinstance(m, DerivedWeight) and m.spectral_norm is not None for m in layers)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("spectral_norm", "pooling", "mean"),
    [(True, "auto", False), (False, "auto", True), (True, "mean", True), (False, "sum", False)],
)
def test_pooling_of_the_resnet_features(spectral_norm, pooling, mean):
    d = make(
        "discriminator", "resnet", base_channels=4, spectral_norm=spectral_norm, pooling=pooling
    ).eval()
    x = torch.randn(2, 3, 32, 32)
    maps = d.trunk.blocks(x).relu()
    assert maps.shape[2:] == (8, 8)
    torch.testing.assert_close(d.features(x), maps.mean((2, 3)) if mean else maps.sum((2, 3)))


@pytest.mark.parametrize("name", ["resnet", "projection"])
def test_the_pyramid_of_one_channel_starts_with_one(name):
    network = make("discriminator", name, 48, base_channels=1, num_classes=3)
    assert network(torch.zeros(2, 3, 48, 48), torch.tensor([0, 2])).shape == (2,)


def test_the_plan_can_be_chosen():
    auto = make("generator", "resnet", 64, latent_dim=128)
    assert count(make("generator", "resnet", 64, latent_dim=128, plan="pyramid")) == count(auto)
    constant = make("generator", "resnet", 64, plan="constant", base_channels=8)
    assert {b.conv2.out_channels for b in constant.blocks} == {8}
    widths = [b.conv2.out_channels for b in make("discriminator", "resnet", 48).trunk.blocks]
    assert widths == [64, 128, 256, 512, 1024]


# timm


def test_timm_unknown_model_suggests_one():
    with pytest.raises(ZooError, match=r"unknown model 'resnet81'\. Did you mean 'resnet18'"):
        make("discriminator", "timm", model="resnet81")


def test_timm_unknown_tag_is_told():
    with pytest.raises(ZooError, match=r"cannot build resnet18\.foo"):
        make("discriminator", "timm", model="resnet18.foo")


def test_timm_weights_that_cannot_be_had(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ZooError, match=r"no pretrained weights for resnet18.*pretrained=false"):
        make("discriminator", "timm", model="resnet18", pretrained=True)


def test_timm_models_of_fixed_size_get_their_size():
    d = make("discriminator", "timm", 28, 1, model="test_vit")
    assert d.input_size == 160
    small = make("discriminator", "timm", 28, 1, model="test_vit", input_size=32)
    assert small.trunk.patch_embed.num_patches == 4
    assert small(torch.randn(2, 1, 28, 28)).shape == (2,)


def test_timm_model_that_the_size_does_not_fit_is_refused():
    with pytest.raises(ZooError, match="does not work on images of 8 pixels"):
        make("discriminator", "timm", model="test_convnext", input_size=8)


def test_timm_norms():
    assert make("discriminator", "timm", model="test_resnet").has_batch_statistics
    d = make("discriminator", "timm", model="test_resnet", per_sample=True)
    assert not d.has_batch_statistics
    relus = [m for m in d.trunk.modules() if isinstance(m, nn.ReLU)]
    plain = make("discriminator", "timm", model="test_resnet")
    assert len(relus) == len([m for m in plain.trunk.modules() if isinstance(m, nn.ReLU)])
    d = make("discriminator", "timm", model="test_resnet", per_sample=True, norm="model")
    assert d.has_batch_statistics


def test_timm_model_without_second_derivative_is_refused_for_a_penalty():
    with pytest.raises(ZooError, match="method without gradient penalty"):
        make("discriminator", "timm", model="mobilenetv3_small_050", per_sample=True)


@pytest.mark.usefixtures("float64")
def test_timm_pretrained_input_statistics():
    """The buffers bring [-1, 1] to the mean and deviation that the model was trained with."""
    d = make("discriminator", "timm", 32, 3, model="test_resnet")
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    cfg = d.trunk.pretrained_cfg
    mean, std = torch.tensor(cfg["mean"]).view(3, 1, 1), torch.tensor(cfg["std"]).view(3, 1, 1)
    want = d.eval().trunk(((x + 1) / 2 - mean) / std)
    d.normalise_as_trained()
    torch.testing.assert_close(d.features(x), want)


def test_an_mlp_that_no_machine_holds():
    shape = {"image_size": 4, "channels": 1, "latent_dim": 4}
    for depth in (22, 10**18):
        with pytest.raises(ZooError, match=f"depth={depth} then 14 or less"):
            registry.create("generator", "mlp", **shape, depth=depth)
    with pytest.raises(ZooError, match="width=1048577 must be 1048576 or less"):
        registry.create("generator", "mlp", **shape, width=2**20 + 1)
    with torch.device("meta"):
        made = registry.create("generator", "mlp", **shape, depth=14)
    assert made.layers[-1].in_features == 2**20
