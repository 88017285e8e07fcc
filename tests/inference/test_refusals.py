"""Wrong types and values for the public functions: each ends in one sentence of a ZooError."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import zoo
from zoo.core.errors import ZooError
from zoo.registry.signature import convert

CALLS = r"""
gan.sample(2.5)
gan.sample('x')
gan.sample(-1)
gan.sample(None)
gan.sample(2, seed='x')
gan.sample(2, seed=1.5)
gan.sample(2, seed=-1)
gan.sample(2, seed=2 ** 63)
gan.sample(2, label=2.5)
gan.sample(2, label={})
gan.sample(2, label=[[1]])
gan.sample(2, label=torch.tensor(1))
gan.sample(2, label=object())
gan.sample(2, label=[None])
gan.sample(2, label=b'1')
gan.sample(2, truncation='x')
gan.sample(2, truncation=float('nan'))
gan.sample(2, truncation=[])
gan.sample(2, batch_size=0)
gan.sample(2, batch_size='x')
gan.sample(2, batch_size=1.5)
gan.sample(2, lable=3)
m.sample(2, lable=3)
m.sample(2.5)
m.sample(2, refine=5)
m.sample(2, refine='drs')
m.sample(2, refine='x')
m.sample(2, refine={})
m.generate('x')
m.generate(z)
m.generate(z[:0], y[:0])
m.generate(z[0], y)
m.generate(z, torch.full((2,), 99))
m.generate(z, y, 0)
m.generate(z.long(), y)
list(m.batches('x'))
m.draw(0)
m.draw('x')
m.draw(2, seed='x')
m.to('x')
m.to(5)
m.to(None)
m.save(5)
m.save('x')
m.save(None)
m.save('/proc/x/y.safetensors')
m.refiner(5)
m.refiner('drs')
m.project('x')
m.project(torch.zeros(3))
m.project(img, steps='x')
m.project(img, foo=1)
m.project(img, 99)
m.project(img, [1, 2, 3], steps=1)
m.class_index('x')
m.class_index(None)
m.class_index([1])
m.use_standing_statistics('x')
m.use_standing_statistics(-1)
m.use_standing_statistics(1, 0)
m.use_standing_statistics(0)
m.discriminator()
m.dataset(5)
m.dataset('data', 'nope')
m.dataset('data', 5)
m.scores(img)
m.scores('x')
zoo.load(5)
zoo.load(None)
zoo.load('nope')
zoo.load([])
zoo.load('mnist', weights=5)
zoo.load('mnist', device=5.5)
zoo.load(b'x')
zoo.load('')
zoo.load('a\x00b')
zoo.load('mnist', foo=1)
zoo.show('x')
zoo.show(5)
zoo.show(None)
zoo.show([])
zoo.show(['a'])
zoo.show(torch.zeros(3))
zoo.show(torch.zeros(0, 1, 4, 4))
zoo.show(img, columns=0)
zoo.show(img, columns=-1)
zoo.show(img, columns='x')
zoo.show(img, scale=0)
zoo.show(img, scale=-1)
zoo.show(img, scale='x')
zoo.show(img, rows=5)
zoo.show(img, heads=5)
zoo.show(img.long())
zoo.show(img.bool())
zoo.show(img * float('nan'))
zoo.show([torch.zeros(1, 4, 4), torch.zeros(1, 5, 5)])
zoo.show(np.zeros((2, 1, 4, 4)))
zoo.show(torch.zeros(2, 1, 0, 4))
zoo.show(torch.zeros(2, 0, 4, 4))
zoo.show(torch.zeros(2, 1, 4, 4, dtype=torch.complex64))
zoo.list_parts(5)
zoo.list_parts('x')
zoo.list_parts([])
zoo.create()
zoo.create('loss')
zoo.create(5, 5)
zoo.create([], 'x')
zoo.create('loss', [])
zoo.create('loss', None)
zoo.create('loss', 'nope')
zoo.create('loss', 'hinge', foo='x')
zoo.create('generator', 'dcgan', image_size='x', channels=1, latent_dim=8)
zoo.create('generator', 'dcgan', image_size=16, channels='x', latent_dim=8)
zoo.create('generator', 'dcgan', image_size=16, channels=1, latent_dim=0)
zoo.create('generator', 'dcgan', image_size=16, channels=1, latent_dim='x')
zoo.create('generator', 'dcgan', image_size=16, channels=1, latent_dim=4, num_classes=-1)
zoo.create('generator', 'mlp', image_size=16, channels=1, latent_dim=4, num_classes='x')
zoo.create('generator', 'dcgan', image_size=16, channels=0, latent_dim=4)
zoo.create('generator', 'dcgan', image_size=16.5, channels=1, latent_dim=4)
zoo.create('generator', 'dcgan', image_size=None, channels=1, latent_dim=4)
zoo.create('discriminator', 'dcgan', image_size='x', channels=1)
zoo.create('discriminator', 'dcgan', image_size=16, channels=-1)
zoo.create('discriminator', 'dcgan', image_size=16, channels=1, head=5)
zoo.create('latent', 'normal', dim='x')
zoo.create('head', 'projection', trunk=5)
zoo.create('datamodule', 'mnist_subset', seed='x')
zoo.create('task', 'sample', data_dir=5, n='x')
zoo.factory()
zoo.factory('loss', 5)
zoo.factory('loss', 'hinge', foo=1)
zoo.evaluate()
zoo.evaluate(5)
zoo.evaluate('nope')
zoo.evaluate(gan, foo=1)
zoo.evaluate(m, data=5)
zoo.evaluate(m, n='x')
zoo.evaluate(m, metrics=['nope'])
zoo.evaluate(m, metrics=5)
zoo.evaluate([5])
zoo.evaluate(images=5, data='mnist_subset')
zoo.evaluate(m, data=[])
zoo.evaluate(m, data=['a'])
zoo.evaluate(m, data=[torch.zeros(4, 3, 28, 28)], n=4, metrics=['fid'])
zoo.evaluate(m, data=[(img, 'x')], n=4, metrics=['fid'])
zoo.train(5)
zoo.train('x')
zoo.train(foo=1)
zoo.train(model=5)
zoo.train(model={'lr_g': object()})
zoo.train(trainer=[1])
zoo.train(**{'a b': 1})
zoo.train(model={5: 1})
zoo.train(None)
zoo.train(seed='x')
zoo.GAN()
zoo.GAN(5, 5, 5)
zoo.GAN('dcgan', 'dcgan', None, **S)
zoo.GAN('dcgan', 'dcgan', 'bce', 5, **S)
zoo.GAN('dcgan', 'dcgan', 'bce', [5], **S)
zoo.GAN('dcgan', 'dcgan', 'bce', [], ['nope'], **S)
zoo.GAN('dcgan', 'dcgan', 'bce', data=5, **S)
zoo.GAN('dcgan', 'dcgan', 'bce', schedules=5, **S)
zoo.GAN('dcgan', 'dcgan', 'bce', lr_g='x', **S)
zoo.GAN('dcgan', 'dcgan', 'bce', lr_g=-1, **S)
zoo.GAN('dcgan', 'dcgan', 'bce', betas=5, **S)
zoo.GAN('dcgan', 'dcgan', 'bce', betas=[0.5], **S)
zoo.GAN('dcgan', 'dcgan', 'bce', betas=['a', 'b'], **S)
zoo.GAN('dcgan', 'dcgan', 'bce', optimizer='nope', **S)
zoo.GAN('dcgan', 'dcgan', 'bce', d_steps=1.5, **S)
zoo.GAN('dcgan', 'dcgan', 'bce', head=5, **S)
zoo.GAN('dcgan', 'dcgan', 'bce', latent=5, **S)
zoo.GAN('dcgan', 'dcgan', 'bce', latent_dim=-5, **S)
zoo.GAN('dcgan', 'dcgan', 'bce', image_size='x', channels=1)
zoo.GAN('dcgan', 'dcgan', 'bce', image_size=16, channels=2.5)
zoo.GAN('dcgan', 'dcgan', 'bce', image_size=16, channels=1, num_classes=-3)
zoo.GAN('dcgan', 'dcgan', 'bce', start=5, **S)
zoo.GAN('dcgan', 'dcgan', 'bce', ema_half_life='x', **S)
zoo.GAN('dcgan', 'dcgan', 'bce', ema_beta=5, **S)
zoo.GAN('dcgan', 'dcgan', 'bce', average='x', **S)
zoo.GAN('dcgan', 'dcgan', 'bce', lr_decay='x', **S)
zoo.GAN('dcgan', 'dcgan', 'bce', foo='x', **S)
zoo.GAN('dcgan', 'dcgan', 'bce', lr_decay_start=5, **S)
zoo.GAN('dcgan', 'dcgan', 'bce', ema_rampup=-1, **S)
zoo.GAN('dcgan', 'dcgan', 'bce', ema_start='x', **S)
"""
"""One call a line, of a `GAN` gan, the shipped model m, its latents z and labels y, images img."""


@pytest.fixture(scope="module")
def names():
    torch.manual_seed(0)
    shape = {"image_size": 16, "channels": 1, "num_classes": 10}
    model = zoo.load("mnist")
    z, y = model.draw(2)
    return {
        "zoo": zoo,
        "np": np,
        "torch": torch,
        "S": shape,
        "m": model,
        "gan": zoo.GAN({"name": "dcgan", "base_channels": 4}, "mlp", "bce", latent_dim=8, **shape),
        "z": z,
        "y": y,
        "img": torch.zeros(2, 1, 28, 28),
    }


@pytest.mark.parametrize("call", CALLS.strip().splitlines())
def test_a_wrong_call_ends_in_one_sentence(call, names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ZooError) as caught:
        eval(call, dict(names))
    sentence = str(caught.value)
    assert sentence
    assert "\n" not in sentence
    assert not list(tmp_path.rglob("*.ckpt"))


def test_the_sentences_name_the_argument_its_value_and_what_is_right(names):
    m, gan = names["m"], names["gan"]
    for call, sentence in (
        (lambda: gan.sample(2.5), "gan.sample: n=2.5 is not an integer."),
        (lambda: m.sample(2, seed="x"), "model.sample: seed=x is not an integer."),
        (lambda: zoo.show(5), "zoo.show: images=5 is not of type Tensor or a list of Tensor."),
        (lambda: m.sample(2, lable=3), "has no argument 'lable'. Did you mean 'label'?"),
        (lambda: zoo.load("mnist", weights="emma"), "is not one of ema, raw or null."),
        (lambda: zoo.create("generator", "mlp", image_size=16, channels="x", latent_dim=8),
         "generator 'mlp': channels=x is not an integer."),
    ):  # fmt: skip
        with pytest.raises(ZooError) as caught:
            call()
        assert sentence in str(caught.value)


def test_what_is_right_goes_through(names):
    """Numbers of numpy, several classes, one text where a list may stand."""
    m = names["m"]
    assert m.sample(np.int64(3), label=[1, 2], seed=np.uint8(4)).shape == (6, 1, 32, 32)
    assert torch.equal(m.sample(2, truncation=1), m.sample(2, truncation=np.float32(1.0)))
    assert zoo.show([torch.zeros(1, 4, 4)] * 3, columns=np.int32(3)).width > 3
    assert [type(convert(np.int64(3), k, "n")) for k in (int, int | None, float, str | int)] == [
        int, int, float, int,
    ]  # fmt: skip
    assert convert(np.float32(0.5), str | float, "x") == 0.5
    gan = zoo.GAN("mlp", "mlp", "bce", "r1", image_size=16, channels=1, latent_dim=np.int64(4))
    assert gan.generator.latent_dim == 4
