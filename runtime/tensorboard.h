/* tensorboard.h -- scalars as TensorBoard reads them: tensorboard/train and tensorboard/validation, tags as Keras writes them
 *
 * An event file holds records: length, its checksum, an Event message, its checksum (masked CRC-32C). Each process writes a
 * new file of all epochs so far and then adds to it, so that a killed one leaves nothing that a reader would stumble over.
 */
#ifndef CNNC_RUNTIME_TENSORBOARD_H
#define CNNC_RUNTIME_TENSORBOARD_H

#include <stdint.h>
#include "runtime/durable.h"
#include "runtime/history.h"
#include "runtime/json_write.h"

typedef struct RtBoard {
	char path[2][RT_PATH_MAX]; /* of train and validation */
	int64_t made_ns;
	int rows[2]; /* written so far; -1: the file is to be written anew */
} RtBoard;

void rt_board_open(RtBoard *b, const char *run, int64_t realtime_ns);
/* Adds what is new in the history. seconds: that training has taken, now. RT_IO: told and tried again next time. */
RtStatus rt_board_write(RtBoard *b, const RtHistory *h, int64_t realtime_ns, double seconds);

/* A record around an Event. */
void rt_board_version(RtText *out, double wall);
void rt_board_scalar(RtText *out, double wall, int64_t step, const char *tag, float value);

#endif
