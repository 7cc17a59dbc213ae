"""Names of numpy's array types, for the lake's modules."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]
Bools = NDArray[np.bool_]
Rows = NDArray[np.intp]
