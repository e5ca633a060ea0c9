# SPDX-License-Identifier: GPL-2.0
"""A chart of the benchmark as SVG: a panel for each of some measures, a bar for each transport."""
from tables import figure, groups, is_ours

PANELS = [
    ('same-thread, 64 bytes', 'Send and receive 64 bytes in one thread'),
    ('ping-pong, 64 bytes', '64 bytes there and back, two processes'),
    ('stream, 64 bytes', 'One way, 64 bytes each'),
    ('stream, 4096 bytes', 'One way, 4 KiB each'),
    ('stream, 65536 bytes', 'One way, 64 KiB each'),
    ('stream, 1048576 bytes', 'One way, 1 MiB each'),
    ('connect', 'Connect, accept, close'),
    ('epoll, 10000 channels', 'Wake one of 10,000 by epoll, and back'),
]
COLUMNS = 2
WIDTH, NAMES, BAR, LABEL = 480, 110, 220, 140
ROW, HEAD, GAP = 17, 30, 18
# Bars of those that take so many times as much as the best are cut.
LONGEST = 4

# Readable on white and on black; where colours can follow the reader's, they do.
STYLE = '''
text { font: 12px system-ui, sans-serif; fill: #6e7781 }
.title { font-weight: 600 }
.nym { fill: #1f6feb }
.unix { fill: #bf8700 }
.peer { fill: #8c959f }
@media (prefers-color-scheme: dark) { text { fill: #c9d1d9 } }
'''


def label(result):
    text = '{:,.0f}'.format(figure(result))
    if 'locked' in result:
        text += ', {:,.0f} locked'.format(result['locked'])
    return text + ' *' * result.get('raised', False)


def kind(result):
    if is_ours(result):
        return 'nym'
    return 'unix' if result['transport'].startswith('unix-') else 'peer'


def text_at(x, y, text, options=''):
    return '<text x="%d" y="%d"%s>%s</text>' % (x, y, options, text)


def panel(x, y, title, results):
    """The lines of one panel, and its height."""
    results = sorted(results, key=lambda result: (figure(result), result['transport']))
    end = min(figure(results[-1]), LONGEST * figure(results[0]))
    lines = [text_at(x, y + 14, title, ' class="title"')]
    y += HEAD
    for result in results:
        width = BAR * min(figure(result), end) / end
        cut = ' \u2192' if figure(result) > end else ''
        lines += [
            text_at(x + NAMES - 6, y + 12, result['transport'], ' text-anchor="end"'),
            '<rect class="%s" x="%d" y="%d" width="%.1f" height="%d"/>' % (
                kind(result), x + NAMES, y + 2, width, ROW - 4),
            text_at(x + NAMES + int(width) + 4, y + 12, label(result) + cut),
        ]
        y += ROW
    return lines, HEAD + ROW * len(results) + GAP


def draw(release, unit, results):
    by_title = groups([result for result in results if figure(result)])
    lines, y, row_height, column = [], GAP, 0, 0
    lines.append(text_at(8, y, 'Linux %s: %s for each round, fewer are better; '
                         '* with larger buffers than by default' % (
                             release, 'instructions' if unit == 'instructions' else 'ns')))
    y += GAP
    for title, text in PANELS:
        if title not in by_title:
            continue
        drawn, height = panel(8 + column * WIDTH, y, text, by_title[title])
        lines += drawn
        row_height = max(row_height, height)
        column += 1
        if column == COLUMNS:
            y, row_height, column = y + row_height, 0, 0
    size = 'width="%d" height="%d"' % (8 + COLUMNS * WIDTH, y + row_height)
    return '\n'.join(['<svg xmlns="http://www.w3.org/2000/svg" %s viewBox="0 0 %d %d">' % (
        size, 8 + COLUMNS * WIDTH, y + row_height), '<style>%s</style>' % STYLE] + lines +
        ['</svg>', ''])
