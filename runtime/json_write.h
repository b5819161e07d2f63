/* json_write.h -- text that grows, and JSON written into it piece by piece
 *
 * Answers of the server are written once and never looked at again, so no tree is built. Running out of memory is
 * remembered: further pieces are dropped and `failed` is looked at once, at the end.
 */
#ifndef CNNC_RUNTIME_JSON_WRITE_H
#define CNNC_RUNTIME_JSON_WRITE_H

#include <stdbool.h>
#include <stddef.h>

typedef struct RtText {
	char *text; /* rt_sys.release, or rt_text_free */
	size_t n, room;
	bool failed;
} RtText;

void rt_text_free(RtText *t);
void rt_text_add(RtText *t, const void *bytes, size_t n);
void rt_text_say(RtText *t, const char *s);
void rt_text_format(RtText *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Quoted and escaped; bytes that are not UTF-8 become '?'. */
void rt_json_say_bytes(RtText *t, const void *s, size_t n);
void rt_json_say(RtText *t, const char *s);
/* 9 digits: a float comes back the same. null where v is not finite, for which JSON has no word. */
void rt_json_say_number(RtText *t, double v);

#endif
