# SPDX-License-Identifier: GPL-2.0
"""What the site needs beyond Sphinx and the kernel's extension.

``.. manual-page:: af_nym.7``
    the page of the manual, as mandoc renders it
``.. head-comment:: module/ring.c``
    the comment at the head of a source file, as it is there; with ``:from:`` and
    ``:to:``, from the line that begins so, and up to that one
``.. code-block:: console``
    prompts as ``selftests/pages.pl`` knows them
links to ``page.rst``
    as they work in a checkout, become links to that page, and fail if it is not there
"""
import os
import re
import subprocess

from docutils import nodes
from docutils.parsers.rst import Directive, directives
from pygments.lexer import RegexLexer, bygroups
from pygments.token import Generic, Text
from sphinx.addnodes import pending_xref
from sphinx.util import logging

LOG = logging.getLogger(__name__)


class ManualPage(Directive):
    """A page of the manual, in HTML."""
    required_arguments = 1

    def run(self):
        env = self.state.document.settings.env
        path = os.path.join(env.srcdir, self.arguments[0])
        env.note_dependency(path)
        done = subprocess.run(
            ["mandoc", "-W", "warning", "-T", "html", "-O", "fragment,toc", path],
            capture_output=True, encoding="utf-8", check=False)
        for line in done.stderr.splitlines():
            LOG.warning("%s", line, location=(env.docname, self.lineno))
        html = self.links(done.stdout, env.srcdir)
        return [nodes.raw("", html, format="html")]

    @staticmethod
    def links(html, srcdir):
        """Link to the pages of the manual that are here, too."""
        def link(match):
            name, section = match.groups()
            if not os.path.exists(os.path.join(srcdir, f"{name}.{section}")):
                return match.group(0)
            return f'<a href="{name}.html">{match.group(0)}</a>'
        return re.sub(r"<b>([\w-]+)</b>\((\d)\)", link, html)


class HeadComment(Directive):
    """The comment at the head of a source file, or a part of it."""
    required_arguments = 1
    option_spec = {"from": directives.unchanged_required, "to": directives.unchanged_required}

    def run(self):
        env = self.state.document.settings.env
        path = os.path.join(env.config.kerneldoc_srctree, self.arguments[0])
        env.note_dependency(path)
        with open(path, encoding="utf-8") as source:
            found = re.search(r"^/\*\n(.*?)^ \*/", source.read(), re.S | re.M)
        if not found:
            raise self.error(f"{path} has no comment at its head")
        # A tab behind the star goes on to the next stop of the whole line.
        lines = [line.expandtabs(8) for line in found.group(1).splitlines()]
        lines = [re.sub(r"^ \* ?", "", line) for line in lines]
        text = "\n".join(self.part(lines)).rstrip()
        block = nodes.literal_block(text, text, language="none", classes=["head-comment"])
        caption = nodes.paragraph("", "", nodes.literal(text=self.arguments[0]), nodes.Text(":"))
        return [caption, block]

    def part(self, lines):
        """The lines that were asked for."""
        for option, keep in (("from", lambda at: slice(at, None)), ("to", lambda at: slice(at))):
            begin = self.options.get(option)
            if begin is None:
                continue
            found = [at for at, line in enumerate(lines) if line.startswith(begin)]
            if not found:
                raise self.error(f"{self.arguments[0]}: no line begins with '{begin}'")
            lines = lines[keep(found[0])]
        return lines


class Console(RegexLexer):
    """Commands and what they print."""
    name = "console"
    tokens = {"root": [
        (r"^(\w*\$|#|>)( .*\n)", bygroups(Generic.Prompt, Text)),
        (r"^.*\n", Generic.Output),
    ]}


def resolve_links(app, doctree):
    """Turn links to a page's source into links to the page."""
    docname = app.env.docname
    for ref in list(doctree.findall(nodes.reference)):
        found = re.match(r"^([\w./-]+)\.rst$", ref.get("refuri", ""))
        if not found:
            continue
        target = os.path.normpath(os.path.join(os.path.dirname(docname), found.group(1)))
        xref = pending_xref(
            "", nodes.inline("", ref.astext()), refdomain="std", reftype="doc",
            reftarget="/" + target, refdoc=docname, refexplicit=True, refwarn=True)
        xref.source, xref.line = ref.source, ref.line
        ref.replace_self(xref)


def setup(app):
    """What Sphinx calls."""
    app.add_directive("manual-page", ManualPage)
    app.add_directive("head-comment", HeadComment)
    app.add_lexer("console", Console)
    app.connect("doctree-read", resolve_links)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
