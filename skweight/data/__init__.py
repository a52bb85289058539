"""From the user's tables to checked rows, and from rows to batches of tensors.

``validation`` checks X and y; ``columns`` reads DataFrames, and ``cells`` explains what is neither
number nor category. ``encoding`` and ``shift`` make X float32, and ``arrays`` knows X in memory,
sparse and on disk. X of several inputs is checked in ``input_checks`` and is ``NamedInputs`` from
then on, see ``inputs``. ``device`` finds the device and puts X there, and ``split`` chooses
validation rows. Training reads a ``RowDataset`` from ``rows`` in the order of ``batches``;
``moments`` computes its weighted moments and quantiles, and ``values`` finds the categories,
missing values and mass points of its columns. ``unweighted`` makes rows of plain arrays, and
``digests`` tells whether rows are the same.
"""

from skweight.data.arrays import (
    MappedRows,
    as_array,
    as_dense,
    as_tensor,
    canonical_csr,
    holds_integers,
    is_mapped,
)
from skweight.data.batches import (
    ROWS_IN_ORDER,
    VALUES_AT_ONCE,
    TensorBatches,
    prefetch,
    split_offset,
)
from skweight.data.cells import is_number, missing_as_nan
from skweight.data.columns import BOOLEAN, CATEGORY, Column, refuse_equal_names
from skweight.data.device import free_memory, place, resolve_device
from skweight.data.digests import digests
from skweight.data.encoding import (
    ColumnCodes,
    ColumnsAsGiven,
    Encoding,
    learn_codes,
    learn_float32,
)
from skweight.data.input_checks import validate_inputs, validate_inputs_y
from skweight.data.inputs import (
    NamedInputs,
    call_module,
    describe,
    each_input,
    has_named_inputs,
    row_shape,
)
from skweight.data.moments import sampled_rows, weighted_moments, weighted_quantiles
from skweight.data.rows import Batch, RowDataset, gather, rows_at_once, to_integers
from skweight.data.shift import Float32Columns, find_float32, find_shift
from skweight.data.split import (
    group_codes,
    join_groups,
    split_folds,
    split_groups,
    split_validation,
)
from skweight.data.unweighted import rows_of_arrays
from skweight.data.validation import XReader
from skweight.data.values import find_values
