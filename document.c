/* document.c -- Markdown, line by line, to roff and to HTML; a printer is a table of functions */
#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include "document.h"
#include "ir/arena.h"

typedef enum Block { NOTHING, HEADING, PARAGRAPH, ITEM, ROW, CODE } Block;

typedef enum Mark { STRONG, VERBATIM, LINK } Mark;

typedef struct Printer {
	void (*heading)(FILE *f, int level, const char *text, size_t n);
	void (*enter)(FILE *f, Block block);             /* the first line of a block */
	void (*leave)(FILE *f, Block block);
	void (*row)(FILE *f, const char *line, size_t n, bool head); /* of a table */
	void (*item)(FILE *f);
	void (*mark)(FILE *f, Mark mark, bool begins, const char *link, size_t n);
	void (*character)(FILE *f, char c);
} Printer;

/* ---- inline ---- */

static size_t find(const char *s, size_t n, const char *what)
{
	const size_t len = strlen(what);
	for (size_t i = 0; i + len <= n; i++) {
		if (memcmp(s + i, what, len) == 0)
			return i;
	}
	return n;
}

static void print_text(const Printer *p, FILE *f, const char *s, size_t n);

static void print_between(const Printer *p, FILE *f, Mark mark, const char *s, size_t n, const char *link, size_t link_n)
{
	p->mark(f, mark, true, link, link_n);
	if (mark == VERBATIM) {
		for (size_t i = 0; i < n; i++)
			p->character(f, s[i]);
	} else {
		print_text(p, f, s, n);
	}
	p->mark(f, mark, false, link, link_n);
}

/* A marked piece that begins at s: its length, 0 where none does. */
static size_t print_marked(const Printer *p, FILE *f, const char *s, size_t n)
{
	if (s[0] == '`') {
		const size_t end = find(s + 1, n - 1, "`");
		if (end == n - 1)
			return 0;
		print_between(p, f, VERBATIM, s + 1, end, NULL, 0);
		return end + 2;
	}
	if (n > 2 && memcmp(s, "**", 2) == 0) {
		const size_t end = find(s + 2, n - 2, "**");
		if (end == n - 2)
			return 0;
		print_between(p, f, STRONG, s + 2, end, NULL, 0);
		return end + 4;
	}
	if (s[0] == '[') {
		const size_t middle = find(s, n, "]("), end = find(s + middle, n - middle, ")");
		if (middle == n || middle + end == n)
			return 0;
		print_between(p, f, LINK, s + 1, middle - 1, s + middle + 2, end - 2);
		return middle + end + 1;
	}
	return 0;
}

static void print_text(const Printer *p, FILE *f, const char *s, size_t n)
{
	for (size_t i = 0; i < n;) {
		const size_t marked = print_marked(p, f, s + i, n - i);
		if (!marked) {
			i += s[i] == '\\' && i + 1 < n && ispunct((unsigned char)s[i + 1]);
			p->character(f, s[i]);
		}
		i += marked ? marked : 1;
	}
}

/* ---- lines ---- */

static Block block_of(const char *s, size_t n)
{
	const size_t hashes = strspn(s, "#");
	if (n == 0 || (n > 3 && memcmp(s, "<!--", 4) == 0))
		return NOTHING;
	if (hashes && s[hashes] == ' ')
		return HEADING;
	if (n > 2 && memcmp(s, "```", 3) == 0)
		return CODE;
	return s[0] == '|' ? ROW : n > 1 && s[0] == '-' && s[1] == ' ' ? ITEM : PARAGRAPH;
}

static bool is_rule(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!strchr("|-: ", s[i]))
			return false;
	}
	return true;
}

static void print_line(const Printer *p, FILE *f, Block block, const char *s, size_t n, bool first)
{
	const size_t hashes = strspn(s, "#");
	if (block == HEADING)
		p->heading(f, (int)hashes, s + hashes + 1, n - hashes - 1);
	else if (block == ROW && !is_rule(s, n))
		p->row(f, s, n, first);
	if (block == ITEM && s[0] == '-' && s[1] == ' ') {
		p->item(f);
		print_text(p, f, s + 2, n - 2);
	} else if (block == PARAGRAPH || block == ITEM) {
		print_text(p, f, s + strspn(s, " "), n - strspn(s, " "));
	}
	if (block == PARAGRAPH || block == ITEM)
		p->character(f, '\n');
}

static void print_document(const Printer *p, FILE *f, const char *s)
{
	Block now = NOTHING;
	for (; *s; s += strcspn(s, "\n"), s += *s == '\n') {
		const size_t n = strcspn(s, "\n");
		Block block = block_of(s, n);
		if (now == CODE && block != CODE) {
			for (size_t i = 0; i < n; i++)
				p->character(f, s[i]);
			p->character(f, '\n');
			continue;
		}
		if (now == CODE)
			block = NOTHING;
		else if (now == ITEM && block == PARAGRAPH)
			block = ITEM;
		const bool first = block != now;
		if (first && now != NOTHING && now != HEADING)
			p->leave(f, now);
		if (first && block != NOTHING && block != HEADING)
			p->enter(f, block);
		print_line(p, f, block, s, n, first);
		now = block;
	}
	if (now != NOTHING && now != HEADING)
		p->leave(f, now);
}

/* Calls `cell` for the text of each cell. */
static void each_cell(FILE *f, const char *line, size_t n, bool head, void (*cell)(FILE *, const char *, size_t, int, bool))
{
	int column = 0;
	for (size_t i = 1; i < n;) {
		size_t end = i;
		bool code = false;
		while (end < n && (code || line[end] != '|' || line[end - 1] == '\\')) {
			code ^= line[end] == '`';
			end++;
		}
		size_t from = i + strspn(line + i, " "), to = end;
		while (to > from && line[to - 1] == ' ')
			to--;
		cell(f, line + from, to > from ? to - from : 0, column++, head);
		i = end + 1;
	}
}

/* ---- roff ---- */
static const Printer roff;

static void roff_character(FILE *f, char c)
{
	if (c == '\\')
		fputs("\\e", f);
	else if (c == '-' || c == '.' || c == '\'')
		fprintf(f, c == '-' ? "\\-" : "\\&%c", c);
	else
		fputc(c, f);
}

static void roff_heading(FILE *f, int level, const char *text, size_t n)
{
	fputs(level < 3 ? ".SH " : ".SS ", f);
	print_text(&roff, f, text, n);
	fputc('\n', f);
}

static void roff_enter(FILE *f, Block block)
{
	fputs(block == CODE ? ".PP\n.RS 4\n.nf\n" : block == PARAGRAPH ? ".PP\n" : "", f);
}

static void roff_leave(FILE *f, Block block)
{
	fputs(block == CODE ? ".fi\n.RE\n" : "", f);
}

static void roff_cell(FILE *f, const char *s, size_t n, int column, bool head)
{
	if (head)
		return;
	fputs(column == 0 ? ".TP\n" : column > 1 ? " (" : "", f);
	print_text(&roff, f, s, n);
	fputs(column == 0 ? "\n" : column > 1 ? ")" : "", f);
}

static void roff_row(FILE *f, const char *line, size_t n, bool head)
{
	each_cell(f, line, n, head, roff_cell);
	fputs(head ? "" : "\n", f);
}

static void roff_item(FILE *f)
{
	fputs(".IP \\(bu 2\n", f);
}

static void roff_mark(FILE *f, Mark mark, bool begins, const char *link, size_t n)
{
	(void)link;
	(void)n;
	fputs(!begins ? "\\fR" : mark == LINK ? "\\fI" : "\\fB", f);
}

static const Printer roff = {roff_heading, roff_enter, roff_leave, roff_row, roff_item, roff_mark, roff_character};

void document_man(const char *markdown, const char *name, int section, const char *purpose, FILE *f)
{
	fprintf(f, "'\\\" -*- coding: utf-8 -*-\n.TH %s %d \"\" \"cnnc " CNNC_VERSION "\" \"\"\n.SH NAME\n%s \\- %s\n", name, section, name, purpose);
	print_document(&roff, f, markdown);
}

/* ---- HTML ---- */
static const Printer html;

static void html_character(FILE *f, char c)
{
	if (c == '<' || c == '&')
		fputs(c == '<' ? "&lt;" : "&amp;", f);
	else
		fputc(c, f);
}

/* Letters and digits of a heading, as the name of a place. */
static void html_anchor(FILE *f, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (isalnum((unsigned char)s[i]) || s[i] == '_')
			fputc(s[i], f);
		else if (s[i] == ' ')
			fputc('-', f);
	}
}

static void html_heading(FILE *f, int level, const char *text, size_t n)
{
	fprintf(f, "<h%d id=\"", level);
	html_anchor(f, text, n);
	fputs("\">", f);
	print_text(&html, f, text, n);
	fprintf(f, "</h%d>\n", level);
}

static const char *const html_tag[] = {[PARAGRAPH] = "p", [ITEM] = "ul", [ROW] = "table", [CODE] = "pre"};

static void html_enter(FILE *f, Block block)
{
	fprintf(f, "<%s>", html_tag[block]);
}

static void html_leave(FILE *f, Block block)
{
	fprintf(f, "</%s>\n", html_tag[block]);
}

static void html_cell(FILE *f, const char *s, size_t n, int column, bool head)
{
	(void)column;
	fputs(head ? "<th>" : "<td>", f);
	print_text(&html, f, s, n);
}

static void html_row(FILE *f, const char *line, size_t n, bool head)
{
	fputs("<tr>", f);
	each_cell(f, line, n, head, html_cell);
	fputc('\n', f);
}

static void html_item(FILE *f)
{
	fputs("<li>", f);
}

static void html_mark(FILE *f, Mark mark, bool begins, const char *link, size_t n)
{
	static const char *const tag[] = {[STRONG] = "strong", [VERBATIM] = "code", [LINK] = "a"};
	fprintf(f, begins ? "<%s" : "</%s>", tag[mark]);
	if (begins && mark == LINK)
		fprintf(f, " href=\"%.*s\"", (int)n, link);
	fputs(begins ? ">" : "", f);
}

static const Printer html = {html_heading, html_enter, html_leave, html_row, html_item, html_mark, html_character};

static void html_contents(FILE *f, const char *s)
{
	bool code = false;
	fputs("<nav>", f);
	for (; *s; s += strcspn(s, "\n"), s += *s == '\n') {
		const size_t n = strcspn(s, "\n"), level = strspn(s, "#");
		code ^= block_of(s, n) == CODE;
		if (code || block_of(s, n) != HEADING || level > 2)
			continue;
		fprintf(f, level == 1 ? "<b><a href=\"#" : "<a href=\"#");
		html_anchor(f, s + level + 1, n - level - 1);
		fputs("\">", f);
		print_text(&html, f, s + level + 1, n - level - 1);
		fputs(level == 1 ? "</a></b>\n" : "</a>\n", f);
	}
	fputs("</nav>\n", f);
}

void document_html(const char *markdown, const char *title, FILE *f)
{
	fprintf(f, "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
	           "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>%s</title>\n", title);
	fputs("<style>\n:root{color-scheme:light dark}\n"
	      "body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:auto;padding:1rem}\n"
	      "nav{columns:14rem;font-size:.875rem}nav a{display:block}\n"
	      "table{border-collapse:collapse;display:block;overflow-x:auto}\n"
	      "th,td{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0;border-bottom:1px solid #8885}\n"
	      "code,pre{font:.875em ui-monospace,monospace}pre{padding:.75rem;overflow-x:auto;background:#8882}\n"
	      "h1,h2{border-bottom:1px solid #8885;margin-top:2rem}\n</style>\n", f);
	html_contents(f, markdown);
	fputs("<main>\n", f);
	print_document(&html, f, markdown);
	fputs("</main>\n", f);
}
