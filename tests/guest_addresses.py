"""The guest's addresses for C sources of the tests: users' headers do not define them."""

from __future__ import annotations

from udfvm import protocol

GUEST_ADDRESSES = f"""\
#define UDFVM_INPUT_BASE {protocol.INPUT_BASE:#x}ul
#define UDFVM_OUTPUT_BASE {protocol.OUTPUT_BASE:#x}ul
#define UDFVM_STREAM_REPLY {protocol.STREAM_REPLY:#x}ul
#define UDFVM_SHORT_PAYLOAD {protocol.SHORT_PAYLOAD:#x}ul
#define UDFVM_VECTOR_SEAL {protocol.VECTOR_SEAL:#x}ul
#define UDFVM_VECTOR_COMPLETE {protocol.VECTOR_COMPLETE:#x}ul
#define UDFVM_STATUS_OK {protocol.STATUS_OK}
"""
