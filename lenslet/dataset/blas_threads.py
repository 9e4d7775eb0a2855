"""How many threads multiply matrices while a linear model is fitted."""

from contextlib import AbstractContextManager
from typing import Any

from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

# Numbers of a matrix, 3,000 photos by 1,280 channels: products of a smaller one take less time than threads need to
# meet. Where other programs keep a processor busy, the others spin until it comes: eight times the time, or more.
MANY = 4_000_000


def suitable_threads(values: NDArray[Any]) -> AbstractContextManager[Any]:
    """Within the block, BLAS has one thread if `values`, the inputs of the model, are few; else as many as before."""
    limits: AbstractContextManager[Any] = threadpool_limits(
        1 if values.size < MANY else None, user_api="blas"
    )
    return limits
