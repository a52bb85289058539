"""How noisy the gradient of a batch is: weights in the loss, or rows drawn by weight.

One intercept at the optimum of the balanced problem, where the full gradient is 0, and
batches of 64 rows as training makes them. The columns are the mean of the batch gradient,
which is its bias, and its standard deviation; the last is Kish's effective share of rows.
The third way divides by the weights of the batch, as ``torch.nn.CrossEntropyLoss(weight=...)``
does.

Run ``OMP_NUM_THREADS=1 python benchmarks/gradient_noise.py``: half a minute.
"""

import numpy as np
import torch

from skweight import effective_sample_size
from skweight.data import RowDataset, TensorBatches
from skweight.losses import cross_entropy, weighted_mean
from skweight.weights import to_mean_one

BATCH_SIZE, N_ROWS, N_PASSES = 64, 6400, 60


def balanced_rows(prevalence: float) -> RowDataset:
    """Rows without features, with weights that give both classes half of the loss."""
    positive = np.arange(N_ROWS) < prevalence * N_ROWS
    weight = np.where(positive, 0.5 / prevalence, 0.5 / (1 - prevalence))
    X = torch.zeros(N_ROWS, 1)
    y = positive.astype(np.int64)
    return RowDataset(X, np.arange(N_ROWS), y, to_mean_one(weight), torch.device("cpu"))


def batch_gradients(rows: RowDataset, sampling: bool, divide_by_batch: bool = False) -> np.ndarray:
    """Gradients with respect to the intercept, at the optimum 0, of many batches."""
    batches = TensorBatches(rows, BATCH_SIZE, shuffle=True, sampling=sampling, seed=0)
    gradients = []
    for _ in range(N_PASSES):
        for batch, y in batches:
            logit = torch.zeros(1, requires_grad=True)
            loss = cross_entropy(logit.expand(len(y)), y.float())
            weight = batch["row_weight"]
            if divide_by_batch:
                weight = weight / weight.mean()
            weighted_mean(loss, weight).backward()
            gradients.append(logit.grad.item())
    return np.array(gradients)


def main() -> None:
    """Print the table."""
    print("positives   in the loss     by the batch's weights   sampling        effective share")
    for prevalence in (0.1, 0.01):
        rows = balanced_rows(prevalence)
        cells = []
        for settings in ((False, False), (False, True), (True, False)):
            gradients = batch_gradients(rows, *settings)
            cells.append(f"{gradients.mean():+.3f} / {gradients.std():.3f}")
        share = effective_sample_size(rows.row_weight.numpy()) / N_ROWS
        print(f"{prevalence:6.0%}      {cells[0]}  {cells[1]:23}  {cells[2]}  {share:.3f}")


if __name__ == "__main__":
    main()
