#!/usr/bin/env python3
"""Make a decoder from instruction tables:  decodegen.py PREFIX WIDTH OUTPUT TABLE...

A row is `name format pattern condition`. The pattern is WIDTH characters 0, 1 or - (white space and | between are for the
reader); condition names an extension and optionally rv32 or rv64, e.g. `zbb rv64`. Rows are tried in order, so a special case stands
before the general one; a row that overlaps an earlier one without being more general, or that can never match, is an error.
`zbb/zbkb` is one of the two, `zfa+d` both, `zknd/zkne+m` one of the first two and the third.

The output declares the functions and, where DECODE_TABLES is defined, defines `const DecodeRow PREFIX_rows[]`, and `PREFIX_index[]`: for each value of the key bits (major opcode and funct3) the first row
and the number of rows to try, through PREFIX_list[].
SPDX-License-Identifier: MIT
"""
import sys


def fail(where, what):
    sys.exit(f"{where}: {what}")


def read(paths, width):
    rows = []
    for path in paths:
        for number, line in enumerate(open(path), 1):
            words = line.split("#")[0].replace("|", " ").split()
            if not words:
                continue
            where = f"{path}:{number}"
            bits, rest = "", words[2:]
            while rest and len(bits) < width and set(rest[0]) <= set("01-"):
                bits += rest.pop(0)
            if len(words) < 4 or len(bits) != width or not rest:
                fail(where, f"expected: name format {width}-bit-pattern extension [rv32|rv64], got {len(bits)} bits")
            mask = int("".join("0" if b == "-" else "1" for b in bits), 2)
            match = int("".join("1" if b == "1" else "0" for b in bits), 2)
            xlen = {"": 0, "rv32": 32, "rv64": 64}.get(" ".join(rest[1:]))
            if xlen is None:
                fail(where, f"unknown condition '{' '.join(rest[1:])}'")
            needs = [" | ".join(f"EXT_{e.upper()}" for e in part.split("/")) for part in rest[0].split("+")]
            if len(needs) > 2:
                fail(where, f"more than two sets of extensions in '{rest[0]}'")
            rows.append((words[0], words[1], mask, match, (needs[0], needs[-1]), xlen, where))
    return rows


def check(rows):
    for i, (name, _, mask, match, ext, xlen, where) in enumerate(rows):
        for other, _, m2, v2, _, x2, w2 in rows[:i]:
            if xlen and x2 and xlen != x2:
                continue
            if (match ^ v2) & mask & m2:
                continue  # some fixed bit differs
            if m2 & ~mask == 0 and (not x2 or x2 == xlen):
                fail(where, f"'{name}' can never match: '{other}' ({w2}) comes first")
            if mask & ~m2 and not (xlen == 0 and mask & ~m2 == 0):
                fail(where, f"'{name}' overlaps '{other}' ({w2})")


def keys(mask, match, width):
    """All values of the key bits that a row can have: bits 14..12 and 6..2 (32-bit), 15..13 and 1..0 (16-bit)."""
    positions = [2, 3, 4, 5, 6, 12, 13, 14] if width == 32 else [0, 1, 13, 14, 15]
    out = [0]
    for n, p in enumerate(positions):
        if mask >> p & 1:
            out = [k | (match >> p & 1) << n for k in out]
        else:
            out = [k | b << n for k in out for b in (0, 1)]
    return out, 1 << len(positions)


def main():
    prefix, width, output, *paths = sys.argv[1:]
    width = int(width)
    rows = read(paths, width)
    check(rows)
    buckets = None
    for i, r in enumerate(rows):
        ks, n = keys(r[2], r[3], width)
        buckets = buckets or [[] for _ in range(n)]
        for k in ks:
            buckets[k].append(i)
    with open(output, "w") as f:
        f.write(f"/* Made by decodegen.py from {', '.join(p.split('/')[-1] for p in paths)}. */\n")
        for name in dict.fromkeys(r[0] for r in rows):
            f.write(f"bool rv_{name}(Ctx *c, const Arg *a);\n")
        f.write("#ifdef DECODE_TABLES\n")
        f.write(f"static const DecodeRow {prefix}_rows[] = {{\n")
        for name, form, mask, match, ext, xlen, _ in rows:
            f.write(f'    {{ 0x{mask:08x}, 0x{match:08x}, rv_{name}, FORMAT_{form}, {ext[0]}, {ext[1]}, {xlen}, "{name}" }},\n')
        f.write("};\n")
        f.write(f"static const uint16_t {prefix}_list[] = {{ {', '.join(str(i) for b in buckets for i in b)} }};\n")
        at = 0
        f.write(f"static const struct {{ uint16_t first, count; }} {prefix}_index[] = {{\n")
        for b in buckets:
            f.write(f"    {{ {at}, {len(b)} }},\n")
            at += len(b)
        f.write("};\n#endif\n")


if __name__ == "__main__":
    main()
