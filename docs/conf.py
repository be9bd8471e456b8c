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
suppress_warnings = [
    "toc.not_included"
]  # tables and texts of studies are linked where they are spoken of

autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 80
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_custom_sections = ["Result"]

html_theme = "furo"
html_title = f"jojoscl {version}"
html_extra_path = ["start"]  # index.html leads to docs/


def returns_as_text(app, what, name, obj, options, lines):
    """Keep sentences below Returns: napoleon would take each line for a type."""
    for i, line in enumerate(lines[:-1]):
        if line.strip() == "Returns" and set(lines[i + 1].strip()) == {"-"}:
            lines[i : i + 2] = ["Result", "------"]


def setup(app):
    """Connect it; Sphinx calls this."""
    app.connect("autodoc-process-docstring", returns_as_text, priority=400)  # before napoleon
