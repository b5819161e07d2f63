/* http_rate.c -- requests a second for each client address: token buckets in a table of fixed size
 *
 * An address has four places where it may lie; where all are taken, the fullest bucket (whoever has asked least) makes
 * room. Two seconds' worth may come at once. IPv6 addresses count by their first 64 bits, of which one client has all the rest.
 */
#include <string.h>
#include "runtime/http_conn.h"
#include "runtime/sys.h"

enum { SETS = 1024, WAYS = 4 };

typedef struct Bucket {
	char client[RT_CLIENT_TEXT];
	double tokens;
	int64_t at_ns;
} Bucket;

struct RtRates {
	double rate, most;
	uint64_t seed;
	Bucket bucket[SETS][WAYS];
};

RtRates *rt_rates_new(double rate)
{
	RtRates *t = rt_sys.alloc(sizeof *t);
	if (!t)
		return NULL;
	t->rate = rate;
	t->most = rate * 2 < 1 ? 1 : rate * 2;
	t->seed = (uint64_t)rt_sys.realtime_ns() * UINT64_C(0x9e3779b97f4a7c15);
	return t;
}

void rt_rates_free(RtRates *t)
{
	rt_sys.release(t);
}

/* The address, or the network of an IPv6 address: its first four groups ("2001:db8:1:2"). */
static size_t client_key(const char *client, char key[RT_CLIENT_TEXT])
{
	int colons = 0;
	size_t n = 0;
	for (; client[n] && n < RT_CLIENT_TEXT - 1; n++) {
		colons += client[n] == ':';
		if (colons == 4)
			break;
		key[n] = client[n];
	}
	memset(key + n, 0, RT_CLIENT_TEXT - n);
	return n;
}

static double refilled(const RtRates *t, const Bucket *b, int64_t now)
{
	if (!b->client[0])
		return t->most;
	double tokens = b->tokens + (double)(now - b->at_ns) * 1e-9 * t->rate;
	return tokens < t->most ? tokens : t->most;
}

bool rt_rates_take(RtRates *t, const char *client, int64_t now)
{
	char key[RT_CLIENT_TEXT];
	size_t n = client_key(client, key);
	uint64_t hash = t->seed;
	for (size_t i = 0; i < n; i++)
		hash = (hash ^ (unsigned char)key[i]) * UINT64_C(0x100000001b3);
	Bucket *set = t->bucket[(hash >> 32) % SETS], *b = NULL;
	for (int i = 0; i < WAYS && !b; i++)
		b = memcmp(set[i].client, key, sizeof key) == 0 ? &set[i] : NULL;
	if (!b) {
		b = set;
		for (int i = 1; i < WAYS; i++)
			b = refilled(t, &set[i], now) > refilled(t, b, now) ? &set[i] : b;
		memcpy(b->client, key, sizeof key);
		b->tokens = t->most;
		b->at_ns = now;
	}
	b->tokens = refilled(t, b, now);
	b->at_ns = now;
	if (b->tokens < 1)
		return false;
	b->tokens -= 1;
	return true;
}
