/*
 * A line that is being typed on the terminal, with its editing, history and completion (libedit),
 * while something else is waited for. Knows no session.
 */
#ifndef HTRACE_CLI_PROMPT_H
#define HTRACE_CLI_PROMPT_H

#include <stdbool.h>

struct prompt;

enum prompt_outcome {
	PROMPT_LINE,    /* a line was typed */
	PROMPT_DROPPED, /* Ctrl-C */
	PROMPT_END,     /* end of input, or a signal that ends the console */
	PROMPT_LEFT,    /* `ready` wants to leave */
};

struct prompt_ops {
	/* The descriptor that is watched is readable. false: prompt_read() is to return. */
	bool (*ready)(void *context, struct prompt *prompt);
	void *context;
};

/*
 * Edits lines on standard input and output, behind `text`, while `fd` is watched. The signals are
 * those of console_signals_catch(), which the caller has called.
 */
struct prompt *prompt_new(const char *text, int fd, const struct prompt_ops *ops);
void prompt_free(struct prompt *prompt);

/* The next line without its end, borrowed until the next call. */
enum prompt_outcome prompt_read(struct prompt *prompt, const char **line);

/* From `ready`: prints a line above the one that is being typed. */
void prompt_say(struct prompt *prompt, const char *text);

/* The line can be fetched back; for prompt_read() to come. */
void prompt_remember(struct prompt *prompt, const char *line);

#endif
