"""Builds the parts of udfvm that are not Python. Meson and ninja do the work; see ``meson.build``.

``python -m build_native`` builds beside the sources, for an editable installation. Run it after
changes of C, of guest files, or of headers: it compiles only what has changed. The command
``build_ext`` does the same for setuptools.
"""
