"""skorch's TensorBoard callback writes what a real SummaryWriter reads back."""

import numpy as np
import pytest
from skorch.callbacks import EpochScoring, LRScheduler, TensorBoard
from torch import nn

from skweight import WeightedTorchClassifier

pytestmark = pytest.mark.clients

X = np.random.default_rng(0).normal(size=(260, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)


class OwnTensorBoard(TensorBoard):
    """As in skorch's documentation: it writes the graph of the network and its weights too."""

    def on_batch_end(self, net, batch, **kwargs):
        if self.first_batch_:
            self.writer.add_graph(net.module_, batch[0]["X"])
        super().on_batch_end(net, batch=batch, **kwargs)

    def on_epoch_end(self, net, **kwargs):
        self.writer.add_histogram("weight", next(net.module_.parameters()), len(net.history))
        super().on_epoch_end(net, **kwargs)


def written(folder):
    """What all files of a folder hold."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), size_guidance={"scalars": 0, "histograms": 0})
    found.Reload()
    return found


# torch's own graph writer.
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("kind", [TensorBoard, OwnTensorBoard])
def test_every_epoch_is_written_and_read_back(kind, tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    callbacks = [
        EpochScoring("roc_auc", name="valid_auc", lower_is_better=False),
        LRScheduler("StepLR", step_size=2, event_name="rate"),
        kind(SummaryWriter(tmp_path)),
    ]
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    model = WeightedTorchClassifier(
        module, max_epochs=5, early_stopping=True, callbacks=callbacks, random_state=0
    )
    model.fit(X, Y)
    found = written(tmp_path)
    for tag, name in {
        "Loss/train_loss": "train_loss",
        "Loss/valid_loss": "valid_loss",
        "Loss/valid_auc": "valid_auc",
        "rate": "rate",
        "dur": "dur",
    }.items():
        events = found.Scalars(tag)
        assert [event.step for event in events] == [1, 2, 3, 4, 5]
        expected = model.history_[:, name]
        np.testing.assert_allclose([event.value for event in events], expected, rtol=1e-6)
    is_own = kind is OwnTensorBoard
    assert bool(found.Tags()["graph"]) is is_own
    assert len(found.Histograms("weight")) == 5 if is_own else not found.Tags()["histograms"]


def test_a_second_fit_writes_on_after_the_writer_was_closed(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(tmp_path)
    model = WeightedTorchClassifier(max_epochs=3, callbacks=[TensorBoard(writer)], random_state=0)
    model.fit(X, Y)
    model.fit(X, Y)
    writer.close()
    assert len(list(tmp_path.iterdir())) == 2  # a closed writer begins a new file
    assert [event.step for event in written(tmp_path).Scalars("Loss/train_loss")] == [1, 2, 3] * 2
