"""A prior of noise and structured codes, as InfoGAN uses it."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor

from zoo.contracts.latent import Code, Latent
from zoo.core.errors import ZooError
from zoo.registry import at_least, latent


@latent("codes")
class Codes(Latent):
    """Noise followed by categorical codes (one-hot) and continuous codes (uniform in [-1, 1)).

    The head `infogan` recovers these codes from the images. The defaults are those of the paper for
    MNIST, where `model.latent_dim=74` leaves 62 coordinates of noise beside 10 + 2 of codes.

    Paper: Chen et al. (2016), arXiv:1606.03657.

    Args:
        dim: length of a latent, codes included; set from `model.latent_dim`.
        categorical: number of values of each categorical code.
        continuous: number of continuous codes.
        noise: distribution of the other coordinates: `uniform` in [-1, 1), or `normal`, N(0, I).
    """

    def __init__(
        self,
        dim: int,
        categorical: list[Annotated[int, at_least(2)]] = [10],  # noqa: B006
        continuous: Annotated[int, at_least(0)] = 2,
        noise: Literal["uniform", "normal"] = "uniform",
    ) -> None:
        super().__init__(dim)
        self.noise = noise
        sizes = [*((size, True) for size in categorical), *[(1, False)] * continuous]
        if not sizes:
            raise ZooError(
                "latent codes: categorical=[] and continuous=0 leave no code: add one, or use "
                "model/latent=uniform or normal."
            )
        start = self.noise_dim = dim - sum(size for size, _ in sizes)
        if start < 0:
            raise ZooError(
                f"latent codes: the codes take {dim - start} coordinates, more than latent_dim="
                f"{dim}: set model.latent_dim to {dim - start} or more (74 in the paper)."
            )
        codes = []
        for size, is_categorical in sizes:
            codes.append(Code(start, size, is_categorical))
            start += size
        self.codes = tuple(codes)

    def sample(
        self, n: int, generator: torch.Generator | None = None, device: torch.device | None = None
    ) -> Tensor:
        origin = device if generator is None else generator.device

        def uniform(size: int) -> Tensor:
            return 2 * torch.rand(n, size, generator=generator, device=origin) - 1

        def one_hot(size: int) -> Tensor:
            drawn = torch.randint(size, (n, 1), generator=generator, device=origin)
            return (drawn == torch.arange(size, device=origin)).float()

        if self.noise == "normal":
            parts = [torch.randn(n, self.noise_dim, generator=generator, device=origin)]
        else:
            parts = [uniform(self.noise_dim)]
        parts += [one_hot(code.size) if code.categorical else uniform(1) for code in self.codes]
        z = torch.cat(parts, dim=1)
        return z if device is None else z.to(device)
