# SPDX-License-Identifier: GPL-2.0
"""The tables of the benchmark: each figure, and its ratio to AF_UNIX and to the best peer."""


def name_of(result):
    return ' '.join(str(result[key]) for key in ('measure', 'transport', 'size') if key in result)


def figure(result):
    """What counts: instructions where they were counted, or else time or bytes."""
    return result.get('instructions', result.get('figure'))


def is_ours(result):
    return result['transport'].startswith('nym-')


def ratio(result, to):
    return '%.2f' % (figure(result) / figure(to)) if to else ''


def locked(result):
    return '%.1f' % result['locked'] if 'locked' in result else ''


def rows(group):
    """A row for each transport of one measure and size."""
    by_name = {result['transport']: result for result in group if figure(result)}
    peers = [result for result in by_name.values() if not is_ours(result)]
    best = min(peers, key=figure) if peers else None
    for result in group:
        if result['transport'] not in by_name:
            continue
        notes = []
        if result.get('raised'):
            notes.append('larger buffers')
        for key in ('slab', 'pages'):
            if key in result:
                notes.append('%s %.0f' % (key, result[key]))
        if result is best:
            notes.append('best peer')
        yield [result['transport'], '%.0f' % figure(result),
               ratio(result, by_name.get(result.get('rival'))), ratio(result, best),
               locked(result), ', '.join(notes)]


def show_group(group, unit):
    head = ['', unit, '/AF_UNIX', '/best', 'locked', '']
    lines = list(rows(group))
    for line in [head] * bool(lines) + lines:
        print(('%-15s %12s %8s %6s %7s  %s' % tuple(line)).rstrip())
    reasons = {}
    for result in group:
        if 'skipped' in result:
            reasons.setdefault(result['skipped'], []).append(result['transport'])
    for reason, names in reasons.items():
        print('not %s: %s' % (', '.join(names), reason))


# What is told once more, in short: the measure and its sizes.
SHORT = [('same-thread', (64, 4096)), ('ping-pong', (64,)), ('stream', (64, 4096, 65536, 1048576)),
         ('connect', (0,)), ('bind', (0,)), ('rights', (0,)), ('epoll', (10000,)), ('idle', (0,)),
         ('idle-queued', (0,)), ('lookup', (10, 10000, 100000, 1000000))]


def in_short(results):
    """Each figure of ours beside AF_UNIX and the best peer, on a line."""
    layout = '%-11s %7s %-9s %7s %6s %7s %6s %5s %7s %5s %s'
    print()
    print('In short')
    head = layout % ('', 'size', '', 'nym', 'locked', 'AF_UNIX', 'locked', '', 'best', '', '')
    print(head.rstrip())
    for measure, sizes in SHORT:
        for size in sizes:
            group = [result for result in results if figure(result) and
                     (result['measure'], result.get('size', 0)) == (measure, size)]
            by_name = {result['transport']: result for result in group}
            peers = [result for result in group if not is_ours(result)]
            for result in filter(is_ours, group):
                rival = by_name.get(result['rival'])
                if not rival:
                    continue
                best = min(peers, key=figure)
                print(layout % (
                    measure, size or '', result['transport'].partition('-')[2],
                    '%.0f' % figure(result), locked(result),
                    '%.0f' % figure(rival), locked(rival), ratio(result, rival),
                    '%.0f' % figure(best), ratio(result, best), best['transport']))


def title(result):
    of = result.get('of', 'byte')
    size = ''
    if 'size' in result:
        size = ', %d %s%s' % (result['size'], of, '' if result['size'] == 1 else 's')
    return result['measure'] + size


def groups(results):
    """The results by measure and size, in the order of the benchmark."""
    found = {}
    for result in results:
        found.setdefault(title(result), []).append(result)
    return found


def show(release, chosen, results):
    print('Linux %s' % release)
    for head, group in groups(results).items():
        unit = 'ns'
        if not chosen.wall:
            unit = 'instructions'
        if any(result.get('unit') == 'bytes' for result in group):
            unit = 'bytes'
        print('\n' + head)
        show_group(group, unit)
        print('again: bench/run -k %s%s --measure %s%s [--transport NAME]' % (
            chosen.kernel, ' --wall' * chosen.wall, group[0]['measure'],
            ' --size %d' % group[0]['size'] if 'size' in group[0] else ''))
    in_short(results)
