#!/usr/bin/env python3
"""Makes the man page and the shell completions from the table that `htrace help --table` prints.

  make_docs.py htrace.1|htrace.bash|_htrace|htrace.fish VERSION htrace.1.in TABLE
  make_docs.py htrace-VERB.1 VERSION verbs.in TABLE
  make_docs.py --self-test htrace.1.in verbs.in TABLE

The table, a line each, fields parted by tabs:
  verb    NAME  SYNOPSIS  HELP
  option  VERBS  --NAME[,-X]  ARGUMENT  HELP  CHOICES
VERBS and CHOICES are parted by commas; VERBS empty: all; ARGUMENT empty: it takes none; -X is the
short spelling, and an option may have only that.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections import namedtuple

Verb = namedtuple("Verb", "name synopsis help")
Option = namedtuple("Option", "verbs spellings argument help choices")


def parse(text):
    """(verbs, options); a line that is none of them is an error, not something to skip."""
    verbs, options = [], []
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split("\t")
        if fields[0] == "verb" and len(fields) == 4:
            verbs.append(Verb(*fields[1:]))
        elif fields[0] == "option" and len(fields) == 6:
            option = Option([v for v in fields[1].split(",") if v], fields[2].split(","), fields[3],
                            fields[4], [c for c in fields[5].split(",") if c])
            if not all(re.fullmatch(r"--[a-z][a-z0-9-]+|-[A-Za-z]", s) for s in option.spellings):
                raise ValueError(f"table line {number}: not an option: {fields[2]}")
            options.append(option)
        else:
            raise ValueError(f"table line {number} is neither verb nor option: {line!r}")
    names = {verb.name for verb in verbs}
    for option in options:
        if not set(option.verbs) <= names:
            raise ValueError(f"{option.spellings[0]}: unknown verb in {option.verbs}")
    if not verbs or not options:
        raise ValueError("the table is empty")
    return verbs, options


def options_of(verb, options):
    return [option for option in options if not option.verbs or verb.name in option.verbs]


# --- man page

def roff(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text.startswith((".", "'")) else text


def man_option(option):
    spellings = []
    for spelling in option.spellings:
        text = f"\\fB{roff(spelling)}\\fR"
        if option.argument:
            text += ("=" if spelling.startswith("--") else " ") + f"\\fI{roff(option.argument)}\\fR"
        spellings.append(text)
    only = f" ({', '.join(option.verbs)} only)" if len(option.verbs) == 1 else ""
    return ".TP\n" + ", ".join(spellings) + "\n" + roff(option.help + only)


def man_verb(verb):
    return f".TP\n\\fB{roff(verb.synopsis)}\\fR\n{roff(verb.help)}"


def make_man(verbs, options, template, version):
    synopsis = "\n.br\n".join(f"\\fB{roff(verb.synopsis)}\\fR" for verb in verbs)
    marks = {"@VERSION@": version, "@SYNOPSIS@": synopsis,
             "@VERBS@": "\n".join(map(man_verb, verbs)),
             "@OPTIONS@": "\n".join(map(man_option, options))}
    for mark, text in marks.items():
        if mark not in template:
            raise ValueError(f"the man page has no {mark}")
        template = template.replace(mark, text)
    return template


def verb_parts(text):
    """{verb: its part} of verbs.in."""
    pieces = re.split(r"^@VERB ([a-z]+)@\n", text, flags=re.M)
    return dict(zip(pieces[1::2], pieces[2::2]))


def make_verb_page(name, verbs, options, template, version):
    parts = verb_parts(template)
    verb = next((verb for verb in verbs if verb.name == name), None)
    if not verb or name not in parts:
        raise ValueError(f"no verb {name} in the table, or no part @VERB {name}@")
    own = options_of(verb, options)
    listed = ".SH OPTIONS\n" + "\n".join(man_option(option).replace(f" ({name} only)", "") for option in own) + "\n" \
        if own else ""
    others = ", ".join(f".BR htrace\\-{other.name} (1)" for other in verbs if other.name != name)
    return (f".\\\" Made by docs/make_docs.py from docs/verbs.in and the program's own table of options.\n"
            f'.TH HTRACE-{name.upper()} 1 "" "htrace {version}" "User Commands"\n'
            f".SH NAME\nhtrace\\-{name} \\- {roff(verb.help)}\n"
            f".SH SYNOPSIS\n\\fB{roff(verb.synopsis)}\\fR\n{parts[name]}{listed}"
            ".SH SEE ALSO\n.BR htrace (1),\n" + others.replace(", ", ",\n") + "\n")


# --- completions

PROGRAM_VERBS = {"run"}  # a command line follows
FILE_ARGUMENTS = {"FILE"}


def make_bash(verbs, options, *_):
    def words(verb):
        return " ".join(s + ("=" if o.argument and s.startswith("--") else "")
                        for o in options_of(verb, options) for s in o.spellings)

    choices = "\n".join(f"\t{o.spellings[0]}) COMPREPLY=($(compgen -W '{' '.join(o.choices)}' -- "
                        '"$current")); return ;;' for o in options if o.choices)
    files = "|".join(s for o in options if o.argument in FILE_ARGUMENTS for s in o.spellings)
    pids = "|".join(s for o in options if o.argument == "PID" for s in o.spellings)
    by_verb = "\n".join(f"\t{v.name}) options='{words(v)}' ;;" for v in verbs if v.name != "help")
    programs = "|".join(sorted(PROGRAM_VERBS))
    shorts = "|".join(s for o in options if o.argument for s in o.spellings if s[1] != "-") or "-"
    return f"""# bash completion for htrace; made by docs/make_docs.py
_htrace()
{{
	local current previous verb options i
	COMPREPLY=()
	if declare -F _init_completion >/dev/null; then
		local cur prev words cword
		_init_completion -n = || return
		current=$cur previous=$prev
	else
		local words=("${{COMP_WORDS[@]}}") cword=$COMP_CWORD
		current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}}
	fi
	if [[ $cword -eq 1 ]]; then
		COMPREPLY=($(compgen -W '{" ".join(v.name for v in verbs)} --help --version' -- "$current"))
		return
	fi
	verb=${{words[1]}}
	case $verb in
	{programs})
		for ((i = 2; i < cword; i++)); do # after PROGRAM the line is the program's
			case ${{words[i]}} in
			--) ((i++)) ;;
			{shorts}|=) ((i++)); continue ;; # its argument is the next word
			-*) continue ;;
			esac
			if declare -F _command_offset >/dev/null && ((i < cword)); then
				_command_offset $i
			else
				COMPREPLY=($(compgen -c -f -- "$current"))
			fi
			return
		done ;;
	esac
	if [[ $current == --*=* ]]; then
		previous=${{current%%=*}} current=${{current#*=}}
	elif [[ $previous == = ]]; then
		previous=${{words[cword-2]}}
	fi
	case $previous in
{choices}
	{files or "--none"}) COMPREPLY=($(compgen -f -- "$current")); return ;;
	{pids or "--none"}) COMPREPLY=($(compgen -W "$(cd /proc && echo [0-9]*)" -- "$current")); return ;;
	esac
	case $verb in
	help) options='{" ".join(v.name for v in verbs)}' ;;
{by_verb}
	esac
	COMPREPLY=($(compgen -W "$options" -- "$current"))
	[[ ${{COMPREPLY[0]-}} == *= ]] && compopt -o nospace 2>/dev/null
	if [[ ${{#COMPREPLY[@]}} -eq 0 || $current != -* ]]; then
		case $verb in
		{programs}) COMPREPLY+=($(compgen -c -- "$current")) ;;
		esac
	fi
	return 0
}}
complete -F _htrace htrace
"""


def zsh_text(text):
    return text.replace("'", "'\\''").replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")


def zsh_option(option):
    action = ""
    if option.argument:
        values = (f"({' '.join(option.choices)})" if option.choices else
                  "_files" if option.argument in FILE_ARGUMENTS else
                  "_pids" if option.argument == "PID" else " ")
        action = f":{option.argument}:{values}"
    return [f"'{s}{'=' if option.argument and s.startswith('--') else ''}"
            f"[{zsh_text(option.help)}]{action}'" for s in option.spellings]


def make_zsh(verbs, options, *_):
    listed = "\n".join(f"\t\t'{v.name}:{zsh_text(v.help)}'" for v in verbs)
    cases = []
    for verb in verbs:
        lines = [text for o in options_of(verb, options) for text in zsh_option(o)]
        if verb.name in PROGRAM_VERBS:
            lines += ["'(-)1:program:_command_names -e'", "'*::arguments:_normal'"]
        elif verb.name == "help":
            lines.append("'1:verb:(" + " ".join(v.name for v in verbs) + ")'")
        cases.append(f"\t{verb.name})\n\t\t_arguments -S \\\n\t\t\t" + " \\\n\t\t\t".join(lines) +
                     "\n\t\t;;")
    joined = "\n".join(cases)
    return f"""#compdef htrace
# made by docs/make_docs.py
_htrace() {{
	local curcontext="$curcontext" state line
	_arguments -C '--version[print the version]' '--help[print help]' '1: :->verb' '*:: :->rest'
	case $state in
	verb)
		local -a verbs=(
{listed}
		)
		_describe verb verbs
		;;
	rest)
		case $line[1] in
{joined}
		esac
		;;
	esac
}}
_htrace "$@"
"""


def fish_text(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def make_fish(verbs, options, *_):
    names = " ".join(v.name for v in verbs)
    lines = ["# fish completion for htrace; made by docs/make_docs.py", "complete -c htrace -f",
             f"set -l htrace_verbs {names}"]
    no_verb = '"not __fish_seen_subcommand_from $htrace_verbs"'
    lines += [f"complete -c htrace -n {no_verb} -a {v.name} -d {fish_text(v.help)}" for v in verbs]
    for option in options:
        condition = " ".join(option.verbs) or names
        line = f"complete -c htrace -n '__fish_seen_subcommand_from {condition}'"
        for spelling in option.spellings:
            line += f" -l {spelling[2:]}" if spelling.startswith("--") else f" -s {spelling[1:]}"
        if option.choices:
            line += f" -x -a {fish_text(' '.join(option.choices))}"
        elif option.argument == "PID":
            line += " -x -a '(__fish_complete_pids)'"
        elif option.argument:
            line += " -r" + (" -F" if option.argument in FILE_ARGUMENTS else "")
        lines.append(f"{line} -d {fish_text(option.help)}")
    for verb in sorted(PROGRAM_VERBS & {v.name for v in verbs}):
        lines.append(f"complete -c htrace -n '__fish_seen_subcommand_from {verb}' "
                     "-a '(__fish_complete_subcommand --fcs-skip=2)'")
    lines.append(f"complete -c htrace -n '__fish_seen_subcommand_from help' -a {fish_text(names)}")
    return "\n".join(lines) + "\n"


MAKERS = {"htrace.1": make_man, "htrace.bash": make_bash, "_htrace": make_zsh,
          "htrace.fish": make_fish}


# --- self-test

SAMPLE = """verb\trun\thtrace run [OPTIONS] [--] PROGRAM [ARG...]\tTrace a program's whole life.
verb\tattach\thtrace attach [OPTIONS] -p PID\tTrace a process that runs.
verb\thelp\thtrace help [VERB]\tPrint help.
option\trun,attach\t--collector\tNAME\tHow events are taken: 'auto' [the default].\tauto,bpf,ptrace
option\trun,attach\t--output,-o\tFILE\tWrite there.\t
option\tattach\t-p\tPID\tThe process.\t
option\trun,attach\t--no-children\t\tLeave children alone.\t
option\trun\t--error-exitcode\tN\t.Exit with N; back\\slash.\t
"""


def check(condition, what):
    if not condition:
        print(f"FAILED: {what}")
        sys.exit(1)


def bash_completions(script, words):
    """What bash offers after `words`, the last of which is being typed."""
    text = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _htrace; '
            'printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(["bash", "--norc", "-c", text, "bash", script] + words,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    check(done.returncode == 0 and not done.stderr, f"bash completion of {words}: {done.stderr}")
    return done.stdout.split()


def check_verb_pages(parts_path, table_path, folder):
    """Each verb of the real table has a page that man reads without a warning, and no page is left over."""
    with open(parts_path, encoding="utf-8") as parts, open(table_path, encoding="utf-8") as table:
        text, (verbs, options) = parts.read(), parse(table.read())
    check(set(verb_parts(text)) == {verb.name for verb in verbs}, "verbs.in has a part for each verb")
    for verb in verbs:
        page = make_verb_page(verb.name, verbs, options, text, "1.2.3")
        check(all(s.replace("-", "\\-") in page for o in options_of(verb, options) for s in o.spellings),
              f"the page of {verb.name} has its options")
        path = f"{folder}/htrace-{verb.name}.1"
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(page)
        if shutil.which("man"):
            done = subprocess.run(["man", "--warnings", "-l", path], check=False,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            check(done.returncode == 0 and not done.stderr, f"man: {done.stderr}")


def self_test(template_path, parts_path, table_path):
    with open(template_path, encoding="utf-8") as stream:
        template = stream.read()
    verbs, options = parse(SAMPLE)
    made = {name: make(verbs, options, template, "1.2.3") for name, make in MAKERS.items()}
    for name, text in made.items():
        for spelling in (s for option in options for s in option.spellings):
            plain = text.replace("\\-", "-")
            wanted = spelling if name != "htrace.fish" else \
                ("-l " + spelling[2:] if spelling.startswith("--") else "-s " + spelling[1:])
            check(wanted in plain, f"{name} has {wanted}")
        check("@" not in re.sub(r"\$@|\[@\]|\w@\w", "", text), f"{name}: no mark is left over")
    check("\\&.Exit" in made["htrace.1"] and "\\eslash" in made["htrace.1"], "roff is escaped")
    for bad in ("", "verb\tx\n", SAMPLE + "noise\n", SAMPLE + "option\tfly\t--x-y\t\tz\t\n",
                SAMPLE + "option\t\tno option\t\tz\t\n"):
        try:
            parse(bad)
        except ValueError:
            continue
        check(False, f"a bad table is refused: {bad[-40:]!r}")

    with tempfile.TemporaryDirectory() as folder:
        check_verb_pages(parts_path, table_path, folder)
        for name, text in made.items():
            with open(f"{folder}/{name}", "w", encoding="utf-8") as stream:
                stream.write(text)
        for shell, name in (("zsh", "_htrace"), ("fish", "htrace.fish"), ("bash", "htrace.bash")):
            if shutil.which(shell):
                check(subprocess.run([shell, "-n", f"{folder}/{name}"], check=False).returncode == 0,
                      f"{shell} reads {name}")
            else:
                print(f"{name} is not read by {shell}: it is not installed")
        if shutil.which("man"):
            done = subprocess.run(["man", "--warnings", "-l", f"{folder}/htrace.1"], check=False,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            check(done.returncode == 0 and not done.stderr, f"man: {done.stderr}")
        script = f"{folder}/htrace.bash"
        for words, wanted in ((["htrace", "a"], ["attach"]),
                              (["htrace", "run", "--c"], ["--collector="]),
                              (["htrace", "run", "--collector=b"], ["bpf"]),
                              (["htrace", "run", "--collector", "=", "p"], ["ptrace"]),
                              (["htrace", "run", "-o", "x", "--no"], ["--no-children"]),
                              (["htrace", "attach", "--err"], []),
                              (["htrace", "run", "--", "ls", "--collector=b"], []),
                              (["htrace", "help", "r"], ["run"])):
            got = bash_completions(script, words)
            check(got == wanted, f"{' '.join(words)}: wanted {wanted}, got {got[:9]}")
    print(f"{len(made)} documents of {len(options)} options are right")
    return 0


def main():
    if len(sys.argv) == 5 and sys.argv[1] == "--self-test":
        return self_test(*sys.argv[2:])
    page = re.fullmatch(r"htrace-([a-z]+)\.1", sys.argv[1]) if len(sys.argv) == 5 else None
    if len(sys.argv) != 5 or not (page or sys.argv[1] in MAKERS):
        print(__doc__, file=sys.stderr)
        return 2
    with open(sys.argv[3], encoding="utf-8") as template, open(sys.argv[4], encoding="utf-8") as table:
        try:
            verbs, options = parse(table.read())
            if page:
                made = make_verb_page(page.group(1), verbs, options, template.read(), sys.argv[2])
            else:
                made = MAKERS[sys.argv[1]](verbs, options, template.read(), sys.argv[2])
            sys.stdout.write(made)
        except ValueError as error:
            print(f"make_docs: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
