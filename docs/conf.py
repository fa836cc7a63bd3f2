"""Settings of the documentation site."""

from schuss import __version__

project = "schuss"
author = "The schuss developers"
copyright = "The schuss developers, Apache-2.0"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]
exclude_patterns = ["_build"]
nitpicky = True
# Types of other projects; their documentation is not fetched, so that the site builds without a network.
nitpick_ignore_regex = [("py:.*", r"(numpy|np|pyarrow|pa|collections|pathlib|NDArray|os)(\..*)?")]

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
