"""Second derivatives through convolutions, beside those that PyTorch writes itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from schuss.torch import ModuleObjective
from schuss.torch.convolution import TwiceDifferentiable

LAYERS = {
    "one axis": (nn.Conv1d(2, 3, 3), (5, 2, 9)),
    "padded, without bias": (nn.Conv2d(2, 3, 3, padding=1, bias=False), (5, 2, 6, 6)),
    "groups and strides": (nn.Conv2d(2, 4, (3, 2), stride=(2, 1), groups=2), (5, 2, 7, 7)),
    "dilated": (nn.Conv2d(2, 3, 2, dilation=2), (5, 2, 6, 6)),
    "padded by name": (nn.Conv2d(2, 3, 3, padding="same"), (5, 2, 6, 6)),
    "three axes": (nn.Conv3d(2, 2, 2), (3, 2, 4, 4, 4)),
}


def product(net: nn.Module, rows: Tensor, along: list[Tensor]) -> tuple[Tensor, ...]:
    """A product with the curvature of the rows and the parameters."""
    leaves = [rows, *net.parameters()]
    slopes = torch.autograd.grad(net(rows).square().mean(), leaves, create_graph=True)
    return torch.autograd.grad(slopes, leaves, along)


@pytest.mark.parametrize("name", LAYERS)
def test_products_with_the_curvature_are_those_of_pytorch(name: str) -> None:
    layer, shape = LAYERS[name]
    torch.manual_seed(0)
    channels = layer.out_channels
    net = nn.Sequential(layer, nn.Tanh(), type(layer)(channels, 2, 2), nn.Tanh()).double()  # pyright: ignore
    rows = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    along = [torch.randn_like(one) for one in (rows, *net.parameters())]
    expected = product(net, rows, along)
    with TwiceDifferentiable():
        found = product(net, rows, along)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_modules_that_map_over_rows_themselves_are_served() -> None:
    class Mapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv1d(1, 2, 2)

        def forward(self, rows: Tensor) -> Tensor:
            return torch.func.vmap(lambda row: self.layer(row[None])[0])(rows).flatten(1)

    torch.manual_seed(0)
    rows = torch.randn(6, 1, 4)
    mapped = ModuleObjective(Mapped(), nn.functional.mse_loss, rows, torch.zeros(6, 6))
    plain = ModuleObjective(
        nn.Sequential(mapped.module.layer, nn.Flatten()), nn.functional.mse_loss, rows, torch.zeros(6, 6)
    )
    along = np.arange(6.0)
    np.testing.assert_allclose(
        mapped.hessian_product(mapped.start, along), plain.hessian_product(plain.start, along), rtol=1e-12
    )


def test_sums_over_batches_keep_what_float32_gives() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(72, 3))
    rows, targets = torch.rand(1000, 1, 8, 8), torch.randint(3, (1000,))
    loss = nn.functional.cross_entropy
    quick, exact = (ModuleObjective(net, loss, rows, targets, dtype=one) for one in (torch.float32, torch.float64))
    along = np.random.default_rng(0).normal(size=exact.start.shape)
    expected = exact.curvature_at(exact.start)(along)
    error = quick.curvature_at(exact.start)(along) - expected
    # 5e-8; sums over 256 images in float32, and shares of batches in float32, had 18e-8
    assert np.linalg.norm(error) < 1e-7 * np.linalg.norm(expected)
