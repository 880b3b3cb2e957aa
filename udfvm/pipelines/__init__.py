"""Pipelines: a function over all rows of a source, in batches, on several VMs at once, in bounded
memory.

``sources`` opens what callers pass (``source_files``, ``source_objects``) and checks what is read
(``broken``). ``batches`` cuts it, ``workers`` calls in order and with back-pressure, ``failures``
finds the rows that fail, ``sinks`` take the results (``formats`` has those of files), and
``progress`` shows how far it is. ``columns`` chooses the arguments, and ``labels`` keeps what
pandas knows of the rows. ``mapping`` puts them together for functions that give rows for rows
(``rows``, ``tables``), and ``aggregating`` for aggregates.
"""
