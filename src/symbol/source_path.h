/* The path of a source file from what DWARF says of it. */
#ifndef HTRACE_SYMBOL_SOURCE_PATH_H
#define HTRACE_SYMBOL_SOURCE_PATH_H

/*
 * `file`, joined with the folder that the compiler ran in where it is relative ("" or NULL: not
 * known), without "." and ".." where they can be resolved by the text alone. Owned by the caller.
 */
char *source_path_dup(const char *folder, const char *file);

#endif
