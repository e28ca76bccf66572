#!/usr/bin/env python3
"""Writes a C project that make builds: what a build does to its tracer, without anybody's sources.

    c_project.py FOLDER FILES
"""
import os
import sys

FUNCTIONS_N = 30

MAKEFILE = """CFLAGS = -O1 -g
objects = main.o {objects}

program: $(objects)
\t$(CC) -o $@ $(objects)

$(objects): part.h

clean:
\trm -f program $(objects)
"""

FUNCTION = """
static unsigned step_{file}_{number}(struct part *part, unsigned seed)
{{
	char text[64];

	for (unsigned i = 0; i < part->size; i++) {{
		part->values[i] = part->values[(i + {number}) % part->size] * {factor}u + (seed ^ i);
		if (part->values[i] % {modulus} == 0)
			seed += (unsigned)snprintf(text, sizeof(text), "%u %s", part->values[i], part->name);
	}}
	return seed + (unsigned)strlen(part->name);
}}
"""


def source(file):
    includes = "".join(f"#include <{name}.h>\n" for name in
                       ("stdio", "stdlib", "string", "math", "unistd", "pthread", "sys/stat", "netdb"))
    functions = "".join(FUNCTION.format(file=file, number=number, factor=2 * number + file + 3, modulus=number + 7)
                        for number in range(FUNCTIONS_N))
    calls = "".join(f"\tseed = step_{file}_{number}(&part, seed);\n" for number in range(FUNCTIONS_N))
    return (f'{includes}#include "part.h"\n{functions}\nunsigned part_{file}(unsigned seed)\n{{\n'
            f'\tstruct part part = {{"part {file}", 32, {{{file + 1}}}}};\n\n{calls}\treturn seed;\n}}\n')


def write(folder, name, text):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as out:
        out.write(text)


def main():
    folder, count = sys.argv[1], int(sys.argv[2])
    write(folder, "Makefile", MAKEFILE.format(objects=" ".join(f"part{file}.o" for file in range(count))))
    write(folder, "part.h", "struct part {\n\tconst char *name;\n\tunsigned size;\n\tunsigned values[32];\n};\n\n" +
          "".join(f"unsigned part_{file}(unsigned seed);\n" for file in range(count)))
    calls = "".join(f"\tseed = part_{file}(seed);\n" for file in range(count))
    write(folder, "main.c", f'#include <stdio.h>\n#include "part.h"\n\nint main(void)\n{{\n\tunsigned seed = 1;\n\n{calls}'
          '\tprintf("%u\\n", seed);\n\treturn 0;\n}\n')
    for file in range(count):
        write(folder, f"part{file}.c", source(file))


if __name__ == "__main__":
    main()
