"""Sphinx makes a site of the repository's own Markdown and notebooks: `make docs`."""

from importlib.metadata import version as version_of

project = "jojoscl"
author = "the jojoscl developers"
html_show_copyright = False
version = release = version_of("jojoscl")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
# The source folder is the repository, so that links are right here and where the files lie.
root_doc = "docs/index"
include_patterns = [
    "docs/*.md",
    "notebooks/*.ipynb",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "benchmarks/README.md",
    "experiments/trials.md",
    "experiments/results/*.md",
    "experiments/studies/*.md",
]
nb_execution_mode = "off"  # they are kept executed: make notebooks
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]
suppress_warnings = ["toc.not_included"]  # tables and texts of studies are linked where they are spoken of

autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = False

html_theme = "furo"
html_title = f"jojoscl {version}"
html_extra_path = ["start"]  # index.html leads to docs/
