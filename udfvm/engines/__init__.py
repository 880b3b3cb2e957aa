"""UDFs in other engines: a module for each, imported when it is used.

``udfvm.duckdb`` is ``udfvm.engines.duckdb``, and so on, as an attribute and in import statements.
Each needs the package of its engine, which ``pip install 'udfvm[duckdb]'`` installs.
"""
