"""How Sphinx builds these pages: ``./dev docs``. Warnings are errors there."""

import re
from pathlib import Path

import squidmesh

_ROOT = Path(__file__).resolve().parents[1]

for name in squidmesh.__all__:  # before autodoc tries it with TYPE_CHECKING true, in which Pydantic can not be imported
    getattr(squidmesh, name)

project = "Squid Mesh"
author = "the Squid Mesh authors"
release = re.search(r'^__version__ = "(.+)"$', (_ROOT / "squidmesh/__init__.py").read_text(), re.MULTILINE)[1]
project_copyright = "the Squid Mesh authors, Apache-2.0"

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown"}

myst_enable_extensions = ["attrs_block"]
myst_heading_anchors = 4
"""Headings can be pointed at, as in any view of Markdown: ``redis.md#one-hot-queue``."""

html_theme = "furo"
html_title = f"Squid Mesh {release}"
html_show_sphinx = False
html_copy_source = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100

pygments_style = "friendly"
pygments_dark_style = "monokai"
