"""Settings of the site: ``make docs`` builds it, runs the notebooks and fails on any warning."""

import re
from importlib.metadata import version as version_of

project = "estag_jax"
copyright = "the estag_jax developers"
version = release = version_of("estag_jax")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "estag_jax"

# Pages are Markdown for a code host too: headings get the anchors that they have there.
myst_heading_anchors = 4
myst_enable_extensions = ["dollarmath"]

# The build is the test of the notebooks: it runs all of them, and an exception ends it.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_output_stderr = "remove"  # warnings of the notebook's own machinery

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_default_options = {"members": True, "show-inheritance": False}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False


def _plain(app, what, name, obj, options, lines):
    """Docstrings are plain text with ``code``: |x| and *x in an equation are no markup."""
    del app, what, name, obj, options
    for place, line in enumerate(lines):
        parts = line.split("``")
        parts[::2] = [part.replace("|", r"\|").replace("*", r"\*") for part in parts[::2]]
        lines[place] = "``".join(parts)


# Links that are right on a code host, and the pages of the site that they lead to.
_PAGES = {"RESULTS.md": "/results.md", "CHANGELOG.md": "/changelog.md", "notebooks/": "/notebooks/"}


def _links(app, *where_and_text):
    """Links to files above this folder become links to its pages: here, and in what is included."""
    text = where_and_text[-1]
    for file, page in _PAGES.items():
        text[0] = text[0].replace(f"](../{file}", f"]({page}").replace(f"]({file}", f"]({page}")
    text[0] = text[0].replace("](../docs/", "](/")  # of a notebook
    for file in ("LICENSE", "CONTRIBUTING.md"):  # have no page
        text[0] = re.sub(rf"\[([^\]]*)\]\({re.escape(file)}\)", r"\1", text[0])


def setup(app):
    """Connects the hooks; the first before napoleon, which adds markup of its own."""
    app.connect("autodoc-process-docstring", _plain, priority=100)
    app.connect("source-read", _links)
    app.connect("include-read", _links)
