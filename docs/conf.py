"""Settings of the documentation site."""

import re

from schuss import __version__

project = "schuss"
author = "The schuss developers"
copyright = "The schuss developers, Apache-2.0"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]
exclude_patterns = ["_build", "learn/made"]
nitpicky = True
default_role = "code"
smartquotes_action = "qe"  # no dashes: they would turn --json into –json
# Types of other projects; their documentation is not fetched, so that the site builds without a network.
nitpick_ignore_regex = [("py:.*", r"(numpy|np|pyarrow|pa|collections|pathlib|NDArray|os)(\..*)?")]
# What is named in signatures and is nobody's business: a record already read, what turns rows of a model into scores.
nitpick_ignore = [("py:class", "schuss.report.history.History"), ("py:class", "schuss.model.scorers.Scorer")]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_google_docstring = False
napoleon_use_rtype = False

html_theme = "furo"
html_title = f"schuss {release}"
html_static_path = ["_static"]
html_show_copyright = False


def separate_descriptions(app, what, name, obj, options, lines):
    """Put what our docstrings say as `name : what it is` onto two lines, as NumPy's style wants it without a type."""
    separated = []
    for line in lines:
        found = re.match(r"(\s*)(\w+(?:, \w+)*) : (.+)", line)
        separated += [found[1] + found[2], f"{found[1]}    {found[3]}"] if found else [line]
    lines[:] = separated


def setup(app):
    # Before napoleon, whose priority is 500.
    app.connect("autodoc-process-docstring", separate_descriptions, priority=400)
