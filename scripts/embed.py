#!/usr/bin/env python3
"""Writes the bytes of a file as the inside of a C array: embed.py INPUT OUTPUT."""
import sys

with open(sys.argv[1], 'rb') as source, open(sys.argv[2], 'w') as out:
    data = source.read()
    for i in range(0, len(data), 24):
        out.write(','.join(map(str, data[i:i + 24])) + ',\n')
