"""Builds what is not Python in udfvm: Meson and ninja do the work, as ``meson.build`` says.

``python -m build_native`` builds beside the sources, for an editable installation: after each
change of C, of files of guests, or of headers. Only what has changed is compiled. For setuptools
there is the command ``build_ext``.
"""
