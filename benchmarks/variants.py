"""Changes to the default recipe, one at a time, for the ablation of ``defaults.py``."""

import math
from typing import Any

import torch
from skorch.callbacks import LRScheduler
from torch import Tensor, nn

from skweight.losses import CrossEntropy
from skweight.modules import MLP


class ZeroOutput(MLP):
    """Begin with the best constant for every row."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        nn.init.zeros_(self.output.weight)


class Robust(MLP):
    """Median and quartiles in place of mean and spread, where quartiles differ."""

    @torch.no_grad()
    def adapt_bins(self, edges: Tensor) -> None:
        """Take them from the edges of the bins, which are quantiles."""
        quartiles = edges.quantile(torch.tensor([0.25, 0.5, 0.75], dtype=edges.dtype), dim=0)
        between = (quartiles[2] - quartiles[0]) / 1.349
        self.shift.copy_(torch.where(between > 0, quartiles[1], self.shift.double()))
        self.scale.copy_(torch.where(between > 0, between, self.scale.double()))
        super().adapt_bins(edges)


class Periodic(MLP):
    """Cosines of learned frequencies in place of bins (Gorishniy et al., NeurIPS 2022)."""

    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__(n_features, n_outputs, n_bins=0)
        self.frequency = nn.Parameter(torch.randn(n_features, 16) * 0.1)
        self.phase = nn.Parameter(torch.empty(n_features, 16).uniform_(-math.pi, math.pi))
        self.mix = nn.Parameter(torch.empty(n_features, 16, 3).uniform_(-0.25, 0.25))
        self.hidden[0] = nn.Linear(4 * n_features, self.hidden[0].out_features)

    def adapt_values(self, *values: Tensor) -> None:
        """Make no indicators of single values: there are none without bins, nor are any missing."""

    def forward(self, X: Tensor) -> Tensor:
        """Raw scores from standardised and clipped features, each with three periodic ones."""
        X = self.encode(X)
        waves = torch.cos(2 * math.pi * X.unsqueeze(-1) * self.frequency + self.phase)
        found = torch.einsum("ndw,dwk->ndk", waves, self.mix)
        return self.output(self.hidden(torch.cat([X, found.flatten(1)], dim=1)))


class Skip(MLP):
    """A linear model beside the network."""

    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__(n_features, n_outputs)
        self.skip = nn.Linear(n_features, n_outputs, bias=False)
        nn.init.zeros_(self.skip.weight)

    def forward(self, X: Tensor) -> Tensor:
        """The sum of both."""
        return super().forward(X) + self.skip((X - self.shift) / self.scale)


class Members(MLP):
    """Four networks that share all but their weights of inputs and their last layers.

    After TabM (Gorishniy et al., ICLR 2025): each has a loss of its own, and the prediction is
    their mean.
    """

    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__(n_features, n_outputs)
        self.adapters = nn.Parameter(torch.ones(4, n_features))
        self.heads = nn.ModuleList([nn.Linear(64, n_outputs) for _ in range(4)])

    def adapt_bins(self, edges: Tensor) -> None:
        """Give every input, bins included, a random sign for each member."""
        super().adapt_bins(edges)
        signs = torch.randint(0, 2, (4, self.hidden[0].in_features)) * 2.0 - 1
        self.adapters = nn.Parameter(signs)

    @torch.no_grad()
    def adapt_output(self, constant: Tensor) -> None:
        """Start from the best constant."""
        for head in self.heads:
            head.bias.copy_(constant)

    def forward(self, X: Tensor) -> Tensor:
        """The mean of the members' scores, which are in its attribute ``members``."""
        hidden = self.hidden(self.encode(X) * self.adapters.unsqueeze(1))
        scores = torch.stack([head(of_member) for head, of_member in zip(self.heads, hidden)])
        mean = scores.mean(dim=0)
        mean.members = scores
        return mean


class MeanCrossEntropy(CrossEntropy):
    """The mean of the members' losses."""

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Losses of rows."""
        parts = getattr(output, "members", [output])
        return torch.stack([super(MeanCrossEntropy, self).forward(p, target) for p in parts]).mean(
            0
        )


class MeanSquaredError(nn.MSELoss):
    """The mean of the members' losses."""

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Losses of rows."""
        parts = getattr(output, "members", [output])
        return torch.stack([(part - target) ** 2 for part in parts]).mean(0)


def cosine() -> LRScheduler:
    """From the learning rate to zero along half a wave."""
    return LRScheduler("CosineAnnealingLR", T_max=40)


VARIANTS: dict[str, dict[str, Any]] = {
    "one network everywhere": {"n_members": 1},
    "5 networks everywhere": {"n_members": 5},
    "no bins": {"module__n_bins": 0},
    "4 bins": {"module__n_bins": 4},
    "8 bins": {"module__n_bins": 8},
    "16 bins": {"module__n_bins": 16},
    "periodic features in place of bins": {"module": Periodic},
    "scaled by median and quartiles": {"module": Robust},
    "no clipping": {"module__clip": None},
    "no early stopping": {"early_stopping": False, "n_members": 1},
    "no average of the parameters": {"ema_decay": 0},
    "a tenth held out, of ten networks where there are five": {
        "validation_fraction": 0.1,
        "n_members": "auto",
    },
    "batches of 256 whatever the rows": {"batch_size": 256},
    "learned weights of features": {"module__feature_weights": 1.0},
    "output weights begin at zero": {"module": ZeroOutput},
    "a linear model beside the network": {"module": Skip},
    "AdamW's second moment 0.95": {"optimizer__betas": (0.9, 0.95)},
    "weight decay 0.01, of biases too": {"optimizer__weight_decay": 0.01},
    "weight decay 0.1, of biases too": {"optimizer__weight_decay": 0.1},
    "dropout 0.1": {"module__dropout": 0.1},
    "four members (TabM)": {
        "module": Members,
        "criterion": {True: MeanCrossEntropy, False: MeanSquaredError},
    },
    "SiLU": {"module__activation": "silu"},
    "hidden layers of 128": {"module__hidden_sizes": (128, 128)},
    "one hidden layer": {"module__hidden_sizes": (64,)},
    "learning rate 0.0005": {"lr": 0.0005},
    "learning rate 0.002": {"lr": 0.002},
    "cosine schedule, 40 epochs from 0.002": {
        "lr": 0.002,
        "max_epochs": 40,
        "n_iter_no_change": 40,
        "callbacks": [cosine()],
    },
}

# For ``raw_tables.py``: how the categories of a DataFrame become numbers.
VARIANTS_OF_FRAMES: dict[str, dict[str, Any]] = {
    "embeddings only": {"module__max_indicators": 0},
    "indicators of up to 4 categories": {"module__max_indicators": 4},
    "indicators of up to 16 categories": {"module__max_indicators": 16},
    "indicators of up to 32 categories": {"module__max_indicators": 32},
    "indicators of up to 64 categories": {"module__max_indicators": 64},
    "embeddings of 4 numbers": {"module__embedding_size": 4},
    "embeddings of 16 numbers": {"module__embedding_size": 16},
}
