# SPDX-License-Identifier: GPL-2.0
"""Where the instructions of a round are: by function of the kernel."""
import bisect
import subprocess

import tables

PARTS = {1: 'all', 2: 'send', 3: 'receive'}
# Less than this, for each round, is not shown one by one.
LITTLE = 0.5


class Symbols:
    """Which function an address belongs to, in the kernel or in the program."""

    def __init__(self, kallsyms, program):
        found = []
        with open(kallsyms) as lines:
            for line in lines:
                address, kind, name, *module = line.split()
                if kind in 'tTwW':
                    found.append((int(address, 16), ' '.join([name] + module)))
        table = subprocess.run(['nm', program], check=True, stdout=subprocess.PIPE, text=True)
        for line in table.stdout.splitlines():
            words = line.split()
            if len(words) == 3 and words[1] in 'tTwWi':
                found.append((int(words[0], 16), words[2] + ' [user space]'))
        # Of several names for one address, the first in the alphabet.
        found.sort()
        self.addresses = [address for address, _ in found]
        self.names = [name for _, name in found]

    def at(self, address):
        i = bisect.bisect_right(self.addresses, address) - 1
        if i < 0:
            return 'unknown'
        return self.names[bisect.bisect_left(self.addresses, self.addresses[i])]


def by_function(blocks, symbols):
    """For each function and part, instructions and locked ones."""
    sums = {}
    for part, address, instructions, locked in blocks:
        counts = sums.setdefault(symbols.at(address), {}).setdefault(part, [0, 0])
        counts[0] += instructions
        counts[1] += locked
    return sums


def line(counts, parts, rounds, name):
    words = []
    for part in parts:
        instructions, locked = counts.get(part, (0, 0))
        words.append('%9.1f %7.2f' % (instructions / rounds, locked / rounds))
    return '%s  %s' % ('  '.join(words), name)


def add(sums, name, counts):
    for part, (instructions, locked) in counts.items():
        total = sums.setdefault(name, {}).setdefault(part, [0, 0])
        total[0] += instructions
        total[1] += locked


def whose(name):
    """The module that a function belongs to, or the kernel."""
    return name[name.index('[') + 1:-1] if name.endswith(']') else 'kernel'


def show(result, blocks, symbols):
    print('\n%s: instructions, and locked ones, for each round' % tables.name_of(result))
    if 'rounds' not in result:
        print('skipped: %s' % result.get('skipped', 'no rounds'))
        return
    rounds = result['rounds'] * result['batches']
    sums = by_function(blocks, symbols)
    parts = sorted({part for part, *_ in blocks})
    if 2 in parts:
        parts = [part for part in parts if part != 1]
    few, sides = {}, {}
    print('  '.join('%17s' % PARTS[part] for part in parts))
    order = sorted(sums, key=lambda name: (-sum(sums[name].get(part, [0])[0] for part in parts),
                                           name))
    for name in order:
        for side in (whose(name), 'all'):
            add(sides, side, {part: sums[name][part] for part in parts if part in sums[name]})
        if sum(sums[name].get(part, [0])[0] for part in parts) < LITTLE * rounds:
            add(few, 'all', sums[name])
        else:
            print(line(sums[name], parts, rounds, name))
    print(line(few.get('all', {}), parts, rounds, '(the others, mostly interrupts)'))
    print()
    for side in sorted(sides, key=lambda name: (name == 'all', name)):
        if sum(sides[side].get(part, [0])[0] for part in parts) >= LITTLE * rounds:
            print(line(sides[side], parts, rounds, side))
