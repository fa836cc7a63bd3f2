"""Race a PyTorch module of one's own on scikit-learn's digits, and go on training the winner in a loop of one's own."""

import torch
from sklearn.datasets import load_digits
from torch import nn

from schuss.torch import find_learning_rate, race

images, digits = load_digits(return_X_y=True)
x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(digits)
loss = nn.functional.cross_entropy


def make() -> nn.Module:
    """Give a small network with batch normalisation and dropout."""
    return nn.Sequential(nn.Linear(64, 48), nn.BatchNorm1d(48), nn.ReLU(), nn.Dropout(0.1), nn.Linear(48, 10))


result = race(make, loss, (x[:1500], y[:1500]), runs=8, epochs=5)
chosen, held = result.summary["chosen"], result.summary["holdout"]
print(f"{chosen['optimizer']} at {chosen['learning_rate']:.2g}: {held['accuracy']:.1%} of {held['rows']} held-out rows")

module, optimizer = result.module, result.optimizer
for group in optimizer.param_groups:
    group["lr"] /= 10
for begin in range(0, 1500, 50):
    optimizer.zero_grad()
    loss(module(x[begin : begin + 50]), y[begin : begin + 50]).backward()
    optimizer.step()
accuracy = (module.eval()(x[1500:]).argmax(1) == y[1500:]).float().mean().item()
print(f"after one more pass of one's own: {accuracy:.1%} of the rows that no race has seen")

found = find_learning_rate(make(), loss, (x, y), optimizer="momentum", points=8)
print(f"momentum would like {found.learning_rate:.2g} (anything from {found.good[0]:.2g} to {found.good[1]:.2g})")
