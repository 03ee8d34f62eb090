#!/usr/bin/env python3
"""Make the x86 decoder's tables:  opcodegen.py OUTPUT TABLE...

A row is `[map:]opcode[+] [conditions] name [operands] [attributes]`. Maps: none (one byte), 0f, 38 (0f 38), 3a (0f 3a). `+` stands for the
eight opcodes from there, whose low bits name a register (Z) or a condition (cc). Rows of an opcode are tried in order.
Conditions, joined by commas: 32 (not in 64-bit mode), 64 (only there), np 66 f3 f2 (mandatory prefix), /0 to /7 (ModRM.reg), mem, reg (ModRM.mod),
reg=XX (the ModRM byte), w0 w1 (REX.W or VEX.W), l0 l1 (VEX.L), vex (VEX-encoded only), norexb.
Operands: see OPERANDS. Attributes: see FLAGS; anything else names a CPUID feature, and +avx.. adds a VEX form.
SPDX-License-Identifier: MIT
"""
import sys

MAPS = {"": 0, "0f": 1, "38": 2, "3a": 3}
FLAGS = "lock d64 f64 cc aligned unaligned vsib protected lahf64".split()
VEX_FORMS = {"avx": ("AVX", "AVX"), "avx2": ("AVX", "AVX2"), "avx128": ("AVX", None), "avxs": ("AVX", "AVX")}
# Operand: (kind, size, needs ModRM). The size is that of the operand where it is memory, or of the register used.
SIZES = {"b": "B", "w": "W", "d": "D", "q": "Q", "o": "O", "v": "V", "y": "Y", "z": "Z", "x": "X", "h": "H", "f": "F", "e": "E", "s": "S",
         "l": "L", "t": "T", "dw": "DW", "db": "DB", "p": "P", "": "NONE", "0": "NONE"}
KINDS = {"E": ("RM", 1), "G": ("REG", 1), "M": ("MEM", 1), "R": ("RM_REG", 1), "B": ("VEX_REG", 1), "I": ("IMM", 0), "J": ("REL", 0), "O": ("OFFSET", 0),
         "A": ("FAR", 0), "X": ("SOURCE", 0), "Y": ("DEST", 0), "C": ("CR", 1), "D": ("DR", 1), "S": ("SREG", 1), "P": ("MMX", 1), "Q": ("MMX_RM", 1),
         "N": ("MMX_RM", 1), "V": ("XMM", 1), "W": ("XMM_RM", 1), "U": ("XMM_RM", 1), "H": ("XMM_VEX", 1), "L": ("XMM_IMM", 0), "Z": ("OPCODE", 0)}
FIXED = {"AL": ("ACC", "B"), "AX": ("ACC", "W"), "rAX": ("ACC", "V"), "zAX": ("ACC", "Z"), "CL": ("CL", "B"), "DX": ("DX", "W"), "1": ("ONE", "B"),
         "ES": ("SEGMENT_ES", "NONE"), "CS": ("SEGMENT_CS", "NONE"), "SS": ("SEGMENT_SS", "NONE"), "DS": ("SEGMENT_DS", "NONE"),
         "FS": ("SEGMENT_FS", "NONE"), "GS": ("SEGMENT_GS", "NONE"), "Sz": ("ST_RM", "NONE"), "S0": ("ST0", "NONE"), "Sw": ("SREG", "W")}


def fail(where, what):
    sys.exit(f"{where}: {what}")


def operand(text, where):
    """(C initialiser, needs a ModRM byte)"""
    if text in FIXED:
        kind, size = FIXED[text]
        return f"{{ OPERAND_{kind}, SIZE_{size} }}", kind in ("ST_RM", "SREG")
    kind, size = KINDS.get(text[0]), SIZES.get(text[1:])
    if not kind or not size:
        fail(where, f"unknown operand '{text}'")
    return f"{{ OPERAND_{kind[0]}, SIZE_{size} }}", bool(kind[1])


def feature(name):
    return "X86_" + name.upper().replace(".", "_")


def parse(line, where):
    words = line.split()
    opcode_map, _, code = words.pop(0).rpartition(":")
    several = code.endswith("+")
    row = {"map": MAPS[opcode_map], "opcode": int(code.rstrip("+"), 16), "count": 8 if several else 1, "prefix": "ANY", "digit": -1, "modrm": -1, "mod": "ANY",
           "w": -1, "l": -1, "mode": "ANY", "vex": "NONE", "flags": set(), "features": [], "form": None, "where": where, "needs_modrm": False}
    if words[0] in ("mem", "reg") or words[0][0] in "/0123456789" or words[0].split(",")[0] in ("np", "f2", "f3", "vex", "norexb") or words[0].startswith("reg="):
        for c in words.pop(0).split(","):
            if c in ("32", "64"):
                row["mode"] = {"32": "LEGACY", "64": "LONG"}[c]
            elif c in ("np", "66", "f3", "f2"):
                row["prefix"] = c.upper()
            elif c[0] == "/":
                row["digit"], row["needs_modrm"] = int(c[1:]), True
            elif c in ("mem", "reg"):
                row["mod"], row["needs_modrm"] = c.upper(), True
            elif c.startswith("reg="):
                row["modrm"], row["needs_modrm"] = int(c[4:], 16), True
            elif c[0] in "wl" and c[1:] in ("0", "1"):
                row[c[0]] = int(c[1])
            elif c == "vex":
                row["vex"] = "ONLY"
            elif c == "norexb":
                row["flags"].add("norexb")
            else:
                fail(where, f"unknown condition '{c}'")
    row["name"] = words.pop(0)
    row["operands"] = []
    known = lambda w: w in FLAGS or w[0] == "+" or w.islower() and not any(ch in w for ch in ",") and len(w) > 2
    if words and not known(words[0]):
        row["operands"] = words.pop(0).split(",")
    for w in words:
        if w in FLAGS:
            row["flags"].add(w)
        elif w[0] == "+":
            row["form"] = VEX_FORMS[w[1:]]
            row["scalar"] = w == "+avxs"
        else:
            row["features"].append(feature(w))
    return row


def emit_row(row, f, vex):
    operands, needs = [], row["needs_modrm"]
    names = [o for o in row["operands"] if vex or row["vex"] == "ONLY" or o[0] != "H" or row["operands"].index(o) == 0]
    if not vex and row["form"] and row["operands"] and row["operands"][0][0] == "H":  # shifts by an immediate: the destination is U
        names = row["operands"][1:]
    for o in names:
        text, modrm = operand(o, row["where"])
        operands.append(text)
        needs |= modrm
    features = list(row["features"])
    need256 = "X86_ALWAYS"
    l, encoding = row["l"], "LEGACY"
    if vex:
        features, need256 = [row["form"][0]], row["form"][1]
        features = [f"X86_{features[0]}"]
        if need256 is None:
            l, need256 = 0, "X86_ALWAYS"
        else:
            need256 = "X86_" + need256
        encoding = "VEX_SCALAR" if row["scalar"] else "VEX"
    elif row["vex"] == "ONLY":
        encoding = "VEX"
    flags = " | ".join(["X86_" + x.upper() for x in sorted(row["flags"])] + (["X86_MODRM"] if needs else [])) or "0"
    features += ["X86_ALWAYS"] * (2 - len(features))
    name = ("v" if vex else "") + row["name"]
    f.write(f'    {{ X86_OP_{name}, "{name}", {{ {", ".join(operands) or "{ 0 }"} }}, {flags}, PREFIX_{row["prefix"]}, BITS_{row["mode"]}, ENCODING_{encoding}, MOD_{row["mod"]}, '
            f'{row["digit"]}, {row["modrm"]}, {row["w"]}, {l}, {{ {features[0]}, {features[1]} }}, {need256} }},\n')
    return bool(needs)


def main():
    output, *tables = sys.argv[1:]
    opcodes = [[[] for _ in range(256)] for _ in MAPS]
    features = []
    for path in tables:
        for number, line in enumerate(open(path), 1):
            if not line.split("#")[0].strip():
                continue
            row = parse(line.split("#")[0], f"{path}:{number}")
            features += [x for x in row["features"] if x not in features]
            for i in range(row["count"]):
                opcodes[row["map"]][row["opcode"] + i].append(row)
    with open(output, "w") as f:
        f.write(f"/* Made by opcodegen.py from {', '.join(p.split('/')[-1] for p in tables)}. */\n")
        rows = {id(r): r for per_map in opcodes for rows in per_map for r in rows}.values()
        names = sorted({r["name"] for r in rows} | {"v" + r["name"] for r in rows if r["form"]})
        f.write("enum {\n" + "".join(f"    X86_OP_{n},\n" for n in names) + "    X86_OP_COUNT\n};\n")
        f.write("#ifdef X86_OPCODE_NAMES\nstatic const char *const x86_op_names[] = {\n" + "".join(f'    "{n}",\n' for n in names) + "};\n#endif\n")
        f.write("#ifdef X86_OPCODE_TABLES\nstatic const X86Row x86_rows[] = {\n")
        index, written, place, modrm = [], {}, 0, {}
        for rows in (rows for per_map in opcodes for rows in per_map):
            key = tuple(id(r) for r in rows)
            if rows and key not in written:
                written[key] = place
                for row in rows:
                    for vex in [False, True] if row["form"] else [False]:
                        modrm[key] = emit_row(row, f, vex) or modrm.get(key, False)
                        place += 1
            total = sum(2 if r["form"] else 1 for r in rows)
            index.append((written.get(key, 0), total, int(modrm.get(key, False))))
        f.write("};\nstatic const struct {\n    uint16_t first;\n    uint8_t count;\n    bool modrm; /* of any of the rows */\n} x86_index[4][256] = {\n")
        for m in range(4):
            f.write("    { " + ", ".join(f"{{ {a}, {b}, {c} }}" for a, b, c in index[m * 256:m * 256 + 256]) + " },\n")
        f.write("};\n#endif\n")


if __name__ == "__main__":
    main()
