"""The training of one network.

- ``plan.py``: ``Training``, everything that a training needs; the estimators make it.
- ``run.py``: ``train``, from a plan to a trained net. Begin here.
- ``callbacks.py``: the copies of the user's callbacks; ``callback_checks.py``: those that are
  refused.
- ``prepare.py``, ``trial.py``, ``optimizers.py``, ``defaults.py``: what happens before the first
  epoch; ``scales.py``: columns of X from which a network could not learn.
- ``net.py``: ``WeightedNet``, the skorch net: an epoch, and what callbacks see; ``fit_state.py``:
  what exists only while it is trained.
- ``steps.py``: one step, eager or compiled; ``cuda_graphs.py``: recorded steps, and the choice;
  ``recorded_update.py``: the optimizer in a recorded step.
- ``direct.py``, ``direct_layers.py``: steps without autograd for networks of known layers, whose
  rows are encoded once in ``encoded.py``; ``adam.py``: Adam by its kernel.
- ``stopping.py``: early stopping, the recorded losses, losses that are not finite.
- ``average.py``: the moving average of the weights; ``joined.py``: parameters in one tensor.
- ``observers.py``: who is told of each epoch; ``progress.py``: lines and bars that show them;
  ``best_epoch.py``: the epoch whose network was kept.
- ``resume.py``: what one call of ``partial_fit`` hands to the next.
- ``saved.py``: a trained network as arrays and a recipe, for files; ``definitions.py``: classes of
  a notebook in them; ``net_state.py``: what a file keeps of a net.
- ``checkpoint.py``: ``TrainingCheckpoint``, the callback; ``checkpoint_file.py``: its file, with
  the training of ``checkpoint_state.py`` and ``callback_state.py``, and ``fingerprint.py``, which
  tells fits apart.
- ``files.py``: files that are written whole or not at all.
- ``predict.py``: the output of a trained network; ``scores.py``: the score of a regression.
- ``out_of_memory.py``: what to lower where memory runs out.
- ``structure.py``: what tells networks apart but for their tensors.
- ``isolation.py``: torch's global state during a fit.
- ``torch_internals.py``: every use of torch that its documentation does not cover.
"""

from skweight.training.adam import FusedAdam, fused_adam, with_kernel
from skweight.training.average import WeightAverage
from skweight.training.best_epoch import best_epoch
from skweight.training.callback_checks import refuse_files_of_members
from skweight.training.callbacks import copy_for_fit
from skweight.training.checkpoint import (
    TrainingCheckpoint,
    callbacks_of_member,
    find_checkpoint,
    refuse_checkpoint,
)
from skweight.training.cuda_graphs import CudaGraphs, ReplayedStep, make_step
from skweight.training.defaults import (
    resolve_batch_size,
    resolve_early_stopping,
    resolve_ema_decay,
    resolve_epochs,
)
from skweight.training.direct import DirectNetwork, NotDirect, unchanged
from skweight.training.direct_layers import (
    AutogradLayer,
    DirectEmbedding,
    DirectLayer,
    DirectReLU,
    KeptBuffers,
)
from skweight.training.encoded import EncodedBatches
from skweight.training.files import open_whole, whole_file
from skweight.training.isolation import isolated_torch
from skweight.training.net import WeightedNet
from skweight.training.observers import (
    EpochEnd,
    Observer,
    Reason,
    Watch,
    net_as_of_now,
    tell_beginning,
    tell_end,
    watched,
)
from skweight.training.optimizers import check_optimizer
from skweight.training.out_of_memory import (
    advised_if_out_of_memory,
    if_out_of_memory,
    if_process_is_killed,
    lower_batch_size,
)
from skweight.training.plan import Output, Training, TrainingOptions
from skweight.training.predict import predict
from skweight.training.prepare import prepare
from skweight.training.progress import Bar, EpochLines, TrainingBar
from skweight.training.recorded_update import recorded_update
from skweight.training.run import finish, make_net, max_epochs_of, train
from skweight.training.saved import on_cpu, pack, unpack
from skweight.training.scores import explained_share
from skweight.training.steps import CompiledStep, TrainingStep, compiled_losses, with_row_axis
from skweight.training.stopping import (
    EpochLosses,
    Patience,
    TrainingInterrupted,
    check_finite_losses,
)
from skweight.training.structure import structure
from skweight.training.torch_internals import (
    children_of,
    empty_copy,
    has_hooks,
    relu_gradient,
)
