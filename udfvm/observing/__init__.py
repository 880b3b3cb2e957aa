"""What a running program shows of its micro-VMs: ``udfvm.observe()`` and ``udfvm top``."""
