"""Functions that clients call over a network, by Arrow Flight. ``udfvm.flight`` is its face.

Clients are strangers. What they send is read here and in ``udfvm.codec``, with every access
checked, and never by pyarrow or by a library that has no limits.
"""
