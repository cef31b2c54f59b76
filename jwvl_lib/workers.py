"""One plain function over many items: in this process, on processes of this machine, or on a Dask cluster.

Reads and writes nothing; what `work` does is its own affair. An item that fails, or whose process dies, is one line
and stops nothing. Only a small window of items is under way at a time, so memory does not grow with their number, and
`items` may be a generator. Going on after an interruption is up to `work`: it finds an item done and says so.
"""

import logging
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

LOGGER = logging.getLogger(__name__)
WINDOW = 4  # items under way for each worker: enough that none waits, few enough to hold
CLUSTER_TIMEOUT_S = 60
DIED = "the process that worked on it died, also when it had one to itself: out of memory, killed, or crashed in C"


@dataclass(frozen=True)
class Done:
    """What became of one item: its value, or the one line why there is none."""

    item: object
    value: object = None
    error: str = ""


def each(
    work: Callable, items: Iterable, workers: int = 2, dask_address: str = "", in_order: bool = True
) -> Iterator[Done]:
    """`work(item)` of every item, in their order or (`in_order` False) as they are finished.

    Runs here with `workers` below 2, else on so many processes; with `dask_address` ("tcp://host:8786") on that
    cluster, whose workers must see the same files and the same version of the library (start them with `--nthreads 1`).
    `work`, items and values are pickled. An exception becomes `Done.error`; so does a process that dies twice over the
    same item. Raises OSError where the cluster cannot be reached or is lost, ImportError without `distributed`.
    """
    if dask_address:
        return _on_cluster(work, items, dask_address, in_order)
    if workers < 2:
        return (Done(item, *_attempt(work, item)) for item in items)
    return _on_processes(work, items, workers, in_order)


def one_line(error: BaseException) -> str:
    """An error as one line: its type where that says more than its words, and at most 300 characters of them."""
    words = " ".join(str(error).split())[:300]
    return words if words and isinstance(error, OSError | ValueError) else f"{type(error).__name__}: {words}"


def _attempt(work: Callable, item: object) -> tuple[object, str]:
    try:
        return work(item), ""
    except Exception as error:  # whatever it is, it is this item's and not the batch's
        LOGGER.debug("%r failed", item, exc_info=True)
        return None, one_line(error)


def _windowed(submit: Callable, first_done: Callable, outcome: Callable, items: Iterable, width: int) -> Iterator[Done]:
    """At most `width` items submitted and not yet yielded."""
    items, under_way, none_left = iter(items), {}, object()
    while True:
        while len(under_way) < width and (item := next(items, none_left)) is not none_left:
            under_way[submit(item)] = item
        if not under_way:
            return
        future = first_done(under_way)
        item = under_way.pop(future)
        yield Done(item, *outcome(future, item))


# --------------------------------------------------------------------------------------------------------------------
# processes of this machine


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, initializer=_end_with_parent)


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for ever for its next item."""
    threading.Thread(target=_exit_after, args=(multiprocessing.parent_process(),), daemon=True).start()


def _exit_after(parent: multiprocessing.Process) -> None:
    parent.join()
    os._exit(1)


def _on_processes(work: Callable, items: Iterable, workers: int, in_order: bool) -> Iterator[Done]:
    pool = _pool(workers)

    def submit(item: object) -> Future:
        nonlocal pool
        try:
            return pool.submit(_attempt, work, item)
        except BrokenProcessPool:
            pool.shutdown(wait=False)
            pool = _pool(workers)
            return pool.submit(_attempt, work, item)

    def first_done(under_way: dict[Future, object]) -> Future:
        done = () if in_order else wait(under_way, return_when=FIRST_COMPLETED).done
        return next(f for f in under_way if in_order or f in done)

    def outcome(future: Future, item: object) -> tuple[object, str]:
        try:
            return future.result()
        except BrokenProcessPool:  # one of the window's items, or something from outside: tell by trying alone
            return _alone(work, item)
        except Exception as error:  # what cannot be pickled
            return None, one_line(error)

    try:
        yield from _windowed(submit, first_done, outcome, items, WINDOW * workers)
    finally:
        pool.shutdown(cancel_futures=True)


def _alone(work: Callable, item: object) -> tuple[object, str]:
    with _pool(1) as pool:
        try:
            return pool.submit(_attempt, work, item).result()
        except BrokenProcessPool:
            LOGGER.warning("%.200r: %s", item, DIED)
            return None, DIED


# --------------------------------------------------------------------------------------------------------------------
# a cluster


def _on_cluster(work: Callable, items: Iterable, address: str, in_order: bool) -> Iterator[Done]:
    distributed = _distributed()
    with _client(distributed, address) as client:
        threads = sum(client.nthreads().values())

        def first_done(under_way: dict) -> object:
            done = () if in_order else distributed.wait(list(under_way), return_when="FIRST_COMPLETED").done
            return next(f for f in under_way if in_order or f in done)

        def submit(item: object) -> object:
            return client.submit(_attempt, work, item, pure=False)

        def outcome(future: object, item: object) -> tuple[object, str]:
            for first in (True, False):  # Dask blames all that waited on a dead worker: tell by trying once more
                try:
                    return (future if first else submit(item)).result()
                except distributed.KilledWorker:
                    continue
                except distributed.CancelledError:
                    raise ConnectionError(f"the Dask cluster {address} was lost; run again to go on") from None
                except Exception as error:  # what cannot be pickled
                    return None, one_line(error)
            LOGGER.warning("%.200r: %s", item, DIED)
            return None, DIED

        yield from _windowed(submit, first_done, outcome, items, WINDOW * threads)


def _distributed() -> object:
    try:
        import distributed  # an extra: most people have one machine
    except ImportError:
        raise ImportError("a Dask cluster needs the extra `dask`: pip install 'jwvl-workshop[dask]'") from None
    return distributed


def _client(distributed: object, address: str) -> object:
    try:
        client = distributed.Client(address, timeout=CLUSTER_TIMEOUT_S)
    except (OSError, ValueError) as error:
        raise ConnectionError(
            f"dask_address={address!r} does not answer ({one_line(error)}); give a scheduler's, as tcp://host:8786"
        ) from None
    try:
        client.wait_for_workers(1, timeout=CLUSTER_TIMEOUT_S)
    except TimeoutError:
        client.close()
        raise ConnectionError(
            f"the Dask cluster {address} has no worker; start some with: dask worker {address} --nthreads 1"
        ) from None
    return client
