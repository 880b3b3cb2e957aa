"""Loading a function in a micro-VM: the call that ends with its seal."""

from __future__ import annotations

from udfvm import errors, vmm
from udfvm.guest_text import shown
from udfvm.limits import DEFAULT_LOG, WINDOW, Limits
from udfvm.protocol import REQUEST_LOAD
from udfvm.static_typing import Final
from udfvm.texts import format_size

_NOT_READY: Final = "; the function was not ready by then"


def load_limits(limits: Limits) -> Limits:
    """Returns the limits of the call that loads a function with these limits."""
    return Limits(
        timeout_ns=limits.build_timeout_ns, max_log=max(DEFAULT_LOG, limits.max_log),
        deterministic=limits.deterministic,
    )  # fmt: skip


def load_call(
    vm: vmm.VM, request: int, payload: bytes, limits: Limits, name: str, advice: str = ""
) -> vmm.Reply:
    """Makes a call that loads a function.

    Raises BuildError, with what the program printed, if it ends meanwhile or is not ready in time.
    """
    try:
        return vm.call(request, payload, vmm.core_limits(limits), name)
    except errors.InputTooLargeError:
        raise _too_large(len(payload), name) from None
    except errors.CallTimeoutError as error:
        seconds = limits.timeout_ns / 1e9
        message = (
            f"UDF {name!r}: the function was not ready within {seconds:g} s, which what runs before"
            " its first call has, such as the top level of its file: raise build_timeout="
        )
        raise errors.BuildError(message, vm.log()) from error
    except errors.GuestExitError as error:
        raise errors.BuildError(f"{error}{_NOT_READY}{advice}", vm.log()) from error
    except (errors.GuestCrashError, errors.GuestDeadlockError) as error:
        error.extend(f"{_NOT_READY}{advice}")
        raise


def _too_large(length: int, name: str) -> errors.InputTooLargeError:
    return errors.InputTooLargeError(
        f"what the function refers to has {format_size(length)} when it is pickled, more than the"
        f" {format_size(WINDOW)} that an image takes: write large arrays and models to files, and"
        " pass data={'model': 'model.bin'}, which the function finds as /data/model",
        name,
    )


def load_or_fail(
    vm: vmm.VM, payload: bytes, limits: Limits, name: str, advice: str = ""
) -> vmm.Reply:
    """Makes the call that loads a function with these limits, until it asks to be sealed. Raises
    the errors of ``udf_layer``.
    """
    reply = load_call(vm, REQUEST_LOAD, payload, load_limits(limits), name, advice)
    if not reply.sealed:
        from udfvm.vmm import guest_error

        failure = guest_error.parse(reply.data, name, loading=True)
        if isinstance(failure, errors.CallError):
            failure.output = shown(reply.log)
        raise failure
    return reply
