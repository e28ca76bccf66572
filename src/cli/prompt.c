/*
 * Owns the terminal while a line is typed: libedit edits it, and reads through read_character(),
 * where everything else is waited for too. libedit's own handling of signals stays off: it would
 * pass them on to the whole process group.
 */
#include "cli/prompt.h"

#include "base/alloc.h"
#include "cli/console_complete.h"
#include "cli/console_history.h"
#include "cli/console_signals.h"
#include "cli/prompt_screen.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

enum { CHARACTER_BYTES_MAX = 16 };

struct prompt {
	EditLine *editor;
	History *recent;
	struct console_history *kept;
	char *text;
	int fd;
	struct prompt_ops ops;
	enum prompt_outcome outcome; /* why read_character() gave up */
	char *line;
	bool on_terminal;
};

static struct prompt *prompt_of(EditLine *editor)
{
	void *prompt = NULL;

	el_get(editor, EL_CLIENTDATA, &prompt);
	return prompt;
}

static char *prompt_text(EditLine *editor)
{
	return prompt_of(editor)->text;
}

/* ---- the screen ---- */

static void line_show(struct prompt *prompt)
{
	fflush(stdout);
	el_set(prompt->editor, EL_REFRESH);
}

void prompt_say(struct prompt *prompt, const char *text)
{
	if (prompt->on_terminal)
		screen_erase_line(prompt->editor, prompt->text);
	puts(text);
	fflush(stdout);
	if (prompt->on_terminal)
		line_show(prompt);
}

/* ---- what is typed ---- */

/* The terminal as libedit wants it, whoever has changed it meanwhile. */
static void take_terminal(struct prompt *prompt)
{
	el_set(prompt->editor, EL_PREP_TERM, 0);
	el_set(prompt->editor, EL_PREP_TERM, 1);
	el_resize(prompt->editor);
	putchar('\r');
	line_show(prompt);
}

/* false: the line is not to be read on. */
static bool handle_signals(struct prompt *prompt)
{
	prompt->outcome = PROMPT_END;
	if (console_signals_end())
		return false;
	if (console_signals_take(SIGINT)) {
		prompt->outcome = PROMPT_DROPPED;
		return false;
	}
	if (console_signals_take(SIGTSTP) && prompt->on_terminal) {
		el_set(prompt->editor, EL_PREP_TERM, 0);
		console_signals_stop();
		console_signals_take(SIGCONT);
		take_terminal(prompt);
	}
	if (console_signals_take(SIGCONT) && prompt->on_terminal)
		take_terminal(prompt);
	if (console_signals_take(SIGWINCH) && prompt->on_terminal) {
		screen_erase_line(prompt->editor, prompt->text);
		el_resize(prompt->editor);
		line_show(prompt);
	}
	return true;
}

/* Until a byte can be read; false: prompt->outcome says why not. */
static bool wait_for_input(struct prompt *prompt)
{
	for (;;) {
		struct pollfd fds[] = {{STDIN_FILENO, POLLIN, 0}, {prompt->fd, POLLIN, 0}};
		int ready = console_signals_poll(fds, 2);

		if (!handle_signals(prompt))
			return false;
		if (ready < 0)
			continue;
		if (fds[1].revents && !prompt->ops.ready(prompt->ops.context, prompt)) {
			prompt->outcome = PROMPT_LEFT;
			return false;
		}
		if (fds[0].revents)
			return true;
	}
}

/* For libedit: 1: *out is one character; 0: end of input; -1: prompt->outcome. */
static int read_character(EditLine *editor, wchar_t *out)
{
	struct prompt *prompt = prompt_of(editor);
	char bytes[CHARACTER_BYTES_MAX];
	size_t n = 0;

	for (;;) {
		mbstate_t state = {0};
		ssize_t got;
		size_t used;

		if (!wait_for_input(prompt)) {
			errno = EINTR;
			return -1;
		}
		got = read(STDIN_FILENO, bytes + n, 1);
		if (got < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		prompt->outcome = PROMPT_END;
		if (got <= 0)
			return 0;
		used = mbrtowc(out, bytes, ++n, &state);
		if (used == (size_t)-2 && n < sizeof(bytes))
			continue; /* the rest of it is still to come */
		if (used <= 1 || used == n)
			return 1;
		/* No character: it is dropped, but for what comes behind it. */
		if ((unsigned char)bytes[n - 1] < 0x80) {
			*out = bytes[n - 1];
			return 1;
		}
		n = 0;
	}
}

/* ---- completion ---- */

static size_t columns_of(const char *word)
{
	size_t n = strlen(word);

	return n && word[n - 1] == ' ' ? n - 1 : n;
}

/* The words in columns, below the line. */
static void list_words(struct prompt *prompt, const struct completion *completion)
{
	unsigned wide = 0, in_row, n = 0;

	array_each (word, &completion->words)
		if (columns_of(*word) > wide)
			wide = columns_of(*word);
	in_row = screen_columns(prompt->editor) / (wide + 2);
	screen_leave_line(prompt->editor, prompt->text);
	array_each (word, &completion->words) {
		bool ends = ++n % (in_row ?: 1) == 0 || n == completion->words.count;

		printf("%-*.*s%s", ends ? 0 : (int)wide + 2, (int)columns_of(*word), *word,
		       ends ? "\n" : "");
	}
	line_show(prompt);
}

static unsigned char complete(EditLine *editor, int key)
{
	const LineInfo *line = el_line(editor);
	char *typed = xstrndup(line->buffer, line->cursor - line->buffer);
	struct completion completion;
	unsigned char result = CC_ERROR;
	size_t common, known;
	char *rest;

	console_complete(typed, &completion);
	common = completion_common(&completion);
	known = strlen(typed) - completion.start;
	if (completion.file) {
		result = _el_fn_complete(editor, key);
	} else if (common > known) {
		rest = xstrndup(completion.words.data[0] + known, common - known);
		result = el_insertstr(editor, rest) ? CC_ERROR : CC_REFRESH;
		free(rest);
	} else if (completion.words.count) {
		list_words(prompt_of(editor), &completion);
		result = CC_NORM;
	}
	completion_fini(&completion);
	free(typed);
	return result;
}

/* ---- the whole ---- */

static void recall(void *context, const char *line)
{
	struct prompt *prompt = context;
	HistEvent event;

	history(prompt->recent, &event, H_ENTER, line);
}

static void bind_keys(EditLine *editor)
{
	static const char *const keys[][2] = {
	    {"^R", "em-inc-search-prev"}, {"\\e[3~", "ed-delete-next-char"},
	    {"\\e[1~", "ed-move-to-beg"}, {"\\e[4~", "ed-move-to-end"},
	    {"\\e[7~", "ed-move-to-beg"}, {"\\e[8~", "ed-move-to-end"},
	    {"\\e[H", "ed-move-to-beg"},  {"\\e[F", "ed-move-to-end"},
	    {"\\eOH", "ed-move-to-beg"},  {"\\eOF", "ed-move-to-end"},
	    {"\\e[1;5C", "em-next-word"}, {"\\e[1;5D", "ed-prev-word"},
	    {"\\e[1;3C", "em-next-word"}, {"\\e[1;3D", "ed-prev-word"},
	};

	el_set(editor, EL_EDITOR, "emacs");
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		el_set(editor, EL_BIND, keys[i][0], keys[i][1], NULL);
	el_source(editor, NULL); /* the user's ~/.editrc */
	/* The other one keeps copies of the strings for ever. */
	el_wset(editor, EL_ADDFN, L"htrace-complete", L"completes verbs and options", complete);
	el_set(editor, EL_BIND, "^I", "htrace-complete", NULL);
}

struct prompt *prompt_new(const char *text, int fd, const struct prompt_ops *ops)
{
	struct prompt *prompt = xcalloc(1, sizeof(*prompt));
	HistEvent event;

	*prompt = (struct prompt){.text = xstrdup(text), .fd = fd, .ops = *ops};
	prompt->on_terminal = isatty(STDIN_FILENO);
	prompt->editor = el_init("htrace", stdin, stdout, stderr);
	prompt->recent = history_init();
	if (!prompt->editor || !prompt->recent)
		abort();
	el_set(prompt->editor, EL_CLIENTDATA, prompt);
	el_set(prompt->editor, EL_SIGNAL, 0);
	el_set(prompt->editor, EL_PROMPT, prompt_text);
	el_wset(prompt->editor, EL_GETCFN, read_character);
	bind_keys(prompt->editor);
	history(prompt->recent, &event, H_SETSIZE, HISTORY_LINES_MAX);
	history(prompt->recent, &event, H_SETUNIQUE, 1);
	el_set(prompt->editor, EL_HIST, history, prompt->recent);
	prompt->kept = console_history_open(recall, prompt);
	return prompt;
}

void prompt_free(struct prompt *prompt)
{
	if (!prompt)
		return;
	el_end(prompt->editor);
	history_end(prompt->recent);
	console_history_close(prompt->kept);
	free(prompt->text);
	free(prompt->line);
	free(prompt);
}

/* What was typed before its time was echoed where the prompt goes: libedit is about to show it. */
static void begin_line(struct prompt *prompt)
{
	int waiting = 0;

	el_set(prompt->editor, EL_PREP_TERM, 1);
	if (!ioctl(STDIN_FILENO, FIONREAD, &waiting) && waiting)
		screen_erase_row(prompt->editor);
}

enum prompt_outcome prompt_read(struct prompt *prompt, const char **line)
{
	const char *typed;
	int n = 0;

	if (prompt->on_terminal)
		begin_line(prompt);
	fflush(stdout);
	prompt->outcome = PROMPT_END;
	typed = el_gets(prompt->editor, &n);
	if (!typed || n <= 0) {
		if (prompt->on_terminal && prompt->outcome == PROMPT_DROPPED)
			fputs("^C", stdout);
		if (prompt->on_terminal)
			screen_leave_line(prompt->editor, prompt->text);
		return prompt->outcome;
	}
	free(prompt->line);
	prompt->line = xstrdup(typed);
	prompt->line[strcspn(prompt->line, "\r\n")] = '\0';
	*line = prompt->line;
	return PROMPT_LINE;
}

void prompt_remember(struct prompt *prompt, const char *line)
{
	recall(prompt, line);
	console_history_add(prompt->kept, line);
}
