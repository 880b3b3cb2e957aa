"""Images of several functions ahead of their calls, in the cache of this machine."""

from __future__ import annotations

from udfvm.errors import hides_frames
from udfvm.functions.function import Function
from udfvm.functions.integration import check_functions


@hides_frames
def prepare(*functions: Function) -> None:
    """Finds the images of functions in the cache of this machine, or builds them there.

    The first call of a function does so, too. Send this one to each machine of a cluster, with the
    functions, and none of its tasks has to wait for a build: processes of one machine that share a
    cache build an image once. With Dask, it is ``client.run(udfvm.prepare, score)``.

    Args:
        functions: functions of any form and language.

    Raises:
        SignatureError: an argument is not a function of micro-VMs, or refers to an object that
            cannot be sent to one.
        BuildError: an image cannot be built.
        KVMUnavailableError: this machine has no KVM that micro-VMs can use.

    >>> @udfvm.udf
    ... def half(x: float) -> float:
    ...     return x / 2
    >>> @udfvm.udf
    ... def double(x: float) -> float:
    ...     return x * 2
    >>> udfvm.prepare(half, double)
    """
    check_functions("udfvm.prepare", functions, None)
    for each in functions:
        each.prepare()
