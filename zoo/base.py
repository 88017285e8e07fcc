# ruff: noqa
from zoo.contracts.augmentation import Augmentation
from zoo.contracts.discriminator import Discriminator
from zoo.contracts.generator import Generator, GeneratorOutput
from zoo.contracts.head import Head, HeadFactory, Trunk
from zoo.contracts.latent import Code, Latent
from zoo.contracts.loss import Loss
from zoo.contracts.regularizer import Regularizer
from zoo.contracts.sizes import check_image_size
from zoo.contracts.update import DiscriminatorOutput, Update
