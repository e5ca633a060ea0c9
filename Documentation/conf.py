# SPDX-License-Identifier: GPL-2.0
"""How Sphinx makes the site from these pages. qemu/docs calls it ("make docs")."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(HERE)
# The parts of the kernel's source that qemu/kselftest has unpacked.
KERNEL = os.environ["NYM_KERNEL_PARTS"]

sys.path.insert(0, os.path.join(HERE, "sphinx"))
sys.path.insert(0, os.path.join(KERNEL, "Documentation", "sphinx"))

project = "nym"
author = "The nym developers"
with open(os.path.join(TOP, "dkms.conf"), encoding="utf-8") as source:
    release = source.read().split('PACKAGE_VERSION="')[1].split('"')[0]
version = release

extensions = ["sphinx.ext.graphviz", "kerneldoc", "nym_site"]
exclude_patterns = ["sphinx"]
root_doc = "index"
primary_domain = "c"
highlight_language = "none"

# kernel-doc comments: what the C parser does not know of the kernel's C.
kerneldoc_bin = os.path.join(KERNEL, "scripts", "kernel-doc")
kerneldoc_srctree = TOP
kerneldoc_verbosity = 1
c_id_attributes = ["__init", "__user", "__rcu", "__percpu", "__net_init", "__always_inline"]

graphviz_output_format = "svg"
graphviz_dot_args = [
    "-Gfontname=sans-serif", "-Nfontname=sans-serif", "-Efontname=sans-serif",
    "-Gfontsize=12", "-Nfontsize=12", "-Efontsize=11",
]

html_theme = "alabaster"
html_theme_options = {
    "description": "Sockets addressed by name",
    "page_width": "72em",
    "sidebar_width": "16em",
    "body_max_width": "none",
    "show_powered_by": False,
}
html_sidebars = {"**": ["about.html", "navigation.html", "searchbox.html"]}
html_static_path = ["static"]
html_css_files = ["nym.css"]
html_copy_source = False
html_show_copyright = False
smartquotes = False
