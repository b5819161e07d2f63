/* page.c -- text, cells and pictures of an HTML page */
#include "runtime/page.h"

#include <math.h>
#include <string.h>

void rt_page_text(FILE *f, const char *text)
{
	for (; text && *text; text++) {
		switch (*text) {
		case '<': fputs("&lt;", f); break;
		case '>': fputs("&gt;", f); break;
		case '&': fputs("&amp;", f); break;
		case '"': fputs("&quot;", f); break;
		case '\'': fputs("&#39;", f); break;
		default: fputc((unsigned char)*text < 0x20 && *text != '\n' && *text != '\t' ? '?' : *text, f);
		}
	}
}

void rt_page_count(FILE *f, long long n)
{
	char digits[24];
	const int length = snprintf(digits, sizeof digits, "%lld", n);
	for (int i = 0; i < length; i++) {
		if (i && (length - i) % 3 == 0 && digits[i - 1] != '-')
			fputc(',', f);
		fputc(digits[i], f);
	}
}

void rt_page_cell(FILE *f, const char *text)
{
	fputs("<td>", f);
	rt_page_text(f, text);
	fputs("</td>", f);
}

void rt_page_number(FILE *f, const char *fmt, double v)
{
	char text[64] = "–";
	if (isfinite(v))
		snprintf(text, sizeof text, fmt, v);
	fprintf(f, "<td class=\"n\">%s</td>", text);
}

void rt_page_base64(FILE *f, const void *bytes, size_t n)
{
	static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *b = bytes;
	for (size_t i = 0; i < n; i += 3) {
		const unsigned v = (unsigned)b[i] << 16 | (i + 1 < n ? (unsigned)b[i + 1] << 8 : 0) | (i + 2 < n ? b[i + 2] : 0);
		const char out[4] = {digit[v >> 18], digit[v >> 12 & 63], i + 1 < n ? digit[v >> 6 & 63] : '=', i + 2 < n ? digit[v & 63] : '='};
		fwrite(out, 1, 4, f);
	}
}
